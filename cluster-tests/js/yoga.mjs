// A GraphQL service as one writes it with graphql-yoga, at /graphql, with the schema of the bench's stub services: what
// `make bench-gateway` asks directly and through the gateway. node yoga.mjs [--port 0]
//
// With --introspect it only prints how graphql-js introspects the SDL on its stdin.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { buildSchema, introspectionFromSchema } from 'graphql';
import { createSchema, createYoga } from 'graphql-yoga';
import { exitWhenTold, listen } from './serve.mjs';

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    introspect: { type: 'boolean', default: false },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});

const typeDefs = `
  type Query { book(id: ID!): Book }
  type Book { id: ID! title: String! author: Author }
  type Author { name: String! }
`;
const author = { name: 'Abelson' };
const resolvers = {
  Query: { book: (_, { id }) => ({ id, title: 'Structure and Interpretation of Computer Programs', author }) },
};

if (flags.introspect) {
  console.log(JSON.stringify({ data: introspectionFromSchema(buildSchema(await text(process.stdin)), { oneOf: true }) }));
} else {
  const yoga = createYoga({ schema: createSchema({ typeDefs, resolvers }), logging: false, graphiql: false });
  exitWhenTold({ withStdin: flags['exit-with-stdin'] });
  await listen(createServer(yoga), Number(flags.port));
}
