// The GraphQL services that catalyst's tests register: software nobody here wrote, on data small enough to assert on.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { addMocksToSchema } from '@graphql-tools/mock';
import { makeExecutableSchema } from '@graphql-tools/schema';
import express from 'express';
import { createYoga } from 'graphql-yoga';

const require = createRequire(import.meta.url);

const library = (title) => ({
  books: [
    { id: 1, title, author_id: 7, pages: 376 },
    { id: 2, title: 'The Art of Computer Programming', author_id: 8, pages: 672 },
  ],
  authors: [
    { id: 7, name: 'Hal Abelson' },
    { id: 8, name: 'Donald Knuth' },
  ],
});

/** json-graphql-server over two small tables. title is that of book 1, so that two such services can be told apart. */
export function books({ title = 'Structure and Interpretation' } = {}) {
  const { jsonGraphqlExpress } = require('json-graphql-server/node');
  return express().use('/graphql', jsonGraphqlExpress(library(title)));
}

/** The schema of @favware/graphql-pokemon, answered by @graphql-tools/mock: every string is "pikachu". */
export function pokemon() {
  const folder = new URL('../graphql/', import.meta.resolve('@favware/graphql-pokemon').replace(/codegen\/.*$/, ''));
  const typeDefs = ['schema', 'enums', 'resolvers'].map((name) => readFileSync(new URL(`${name}.graphql`, folder), 'utf8'));
  const schema = addMocksToSchema({ schema: makeExecutableSchema({ typeDefs }), mocks: { String: () => 'pikachu' } });
  return createYoga({ schema, logging: false, maskedErrors: false, graphiql: false });
}

/** A service that is well by itself and cannot be stitched beside books: its Book is an enum. */
export function clash() {
  const schema = makeExecutableSchema({ typeDefs: 'type Query { shelf: Book } enum Book { OPEN SHUT }' });
  return createYoga({ schema, logging: false, graphiql: false });
}

export const kinds = { books, pokemon, clash };
