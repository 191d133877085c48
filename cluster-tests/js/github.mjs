// A GraphQL service with GitHub's public schema, answered by @graphql-tools/mock: every string is "octocat".
//   node github.mjs [--port 0]
//
// With --check URL it asks a gateway what it is, as graphql-js asks, and says what graphql-js makes of that.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { addMocksToSchema } from '@graphql-tools/mock';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { schema as published } from '@octokit/graphql-schema';
import { buildClientSchema, buildSchema, getIntrospectionQuery, printSchema, validateSchema } from 'graphql';
import { createYoga } from 'graphql-yoga';
import { exitWhenTold, listen } from './serve.mjs';

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    check: { type: 'string' },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});

function github() {
  // As published it defines two fields of EnterpriseOwnerInfo twice, which nobody who asks GitHub sees.
  const executable = makeExecutableSchema({ typeDefs: published.idl, assumeValidSDL: true });
  const schema = addMocksToSchema({ schema: executable, mocks: { String: () => 'octocat' } });
  return createYoga({ schema, logging: false, maskedErrors: false, graphiql: false });
}

/** What graphql-js finds wrong, and how many fields of Query and types there are. */
async function check(url) {
  const query = getIntrospectionQuery({
    specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true,
  });
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  const { data, errors = [] } = await response.json();
  const schema = buildClientSchema(data);
  const again = buildSchema(printSchema(schema));
  return {
    wrong: [...errors, ...validateSchema(schema), ...validateSchema(again)].map((error) => error.message),
    same: printSchema(again) === printSchema(schema),
    types: Object.keys(schema.getTypeMap()),
    queries: Object.keys(schema.getQueryType().getFields()),
  };
}

if (flags.check) {
  console.log(JSON.stringify(await check(flags.check)));
} else {
  exitWhenTold({ withStdin: flags['exit-with-stdin'] });
  await listen(createServer(github()), Number(flags.port));
}
