// A GraphQL service with a subscription, on loopback, at /graphql: node countdown.mjs [--port 0]. It knows how many
// countdowns are under way, so that a test sees that one which nobody wants any more has ended.
import { createServer } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { createYoga } from 'graphql-yoga';
import { exitWhenTold, listen } from './serve.mjs';

const { values: flags } = parseArgs({
  options: { port: { type: 'string', default: '0' }, 'exit-with-stdin': { type: 'boolean', default: false } },
});

let underWay = 0;

async function* countdown(_, { from }) {
  underWay += 1;
  try {
    for (let left = from; left >= 0; left--) {
      yield { countdown: left };
      await wait(10);
    }
  } finally {
    underWay -= 1;
  }
}

const schema = makeExecutableSchema({
  typeDefs: `
    type Query { "How many countdowns are **under way**." countdowns: Int! }
    type Subscription { countdown(from: Int!): Int! }
  `,
  resolvers: { Query: { countdowns: () => underWay }, Subscription: { countdown: { subscribe: countdown } } },
});

exitWhenTold({ withStdin: flags['exit-with-stdin'] });
const server = createServer(createYoga({ schema, logging: false, graphiql: false }));
await listen(server, Number(flags.port), (port) => ({ graphql: `http://127.0.0.1:${port}/graphql` }));
