// What people register by mistake, one server on loopback: node stranger.mjs --kind page|nothing|reticent [--port 0]
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { makeExecutableSchema } from '@graphql-tools/schema';
import express from 'express';
import { NoSchemaIntrospectionCustomRule } from 'graphql';
import { createYoga } from 'graphql-yoga';
import { exitWhenTold, listen } from './serve.mjs';

const kinds = {
  /** A web application, which has the same page for every path and method. */
  page: () => express().use((_, response) => response.send('<!doctype html><title>Bookshop</title>')),
  /** An API that has something else. */
  nothing: () => express().get('/books', (_, response) => response.json([])),
  /** A GraphQL service that answers no introspection, as is common in production. */
  reticent: () =>
    createYoga({
      schema: makeExecutableSchema({ typeDefs: 'type Query { secret: Int }' }),
      plugins: [{ onValidate: ({ addValidationRule }) => addValidationRule(NoSchemaIntrospectionCustomRule) }],
      logging: false,
    }),
};

const { values: flags } = parseArgs({
  options: {
    kind: { type: 'string', default: 'page' },
    port: { type: 'string', default: '0' },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});
if (!kinds[flags.kind]) {
  console.error(`--kind ${flags.kind}: want one of ${Object.keys(kinds).join(', ')}`);
  process.exit(2);
}
exitWhenTold({ withStdin: flags['exit-with-stdin'] });
await listen(createServer(kinds[flags.kind]()), Number(flags.port));
