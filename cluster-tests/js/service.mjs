// One GraphQL service on loopback, at /graphql: node service.mjs --kind books|pokemon|clash [--port 0] [--title T]
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { kinds } from './schemas.mjs';
import { exitWhenTold, listen } from './serve.mjs';

const { values: flags } = parseArgs({
  options: {
    kind: { type: 'string', default: 'books' },
    port: { type: 'string', default: '0' },
    title: { type: 'string' },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});
if (!kinds[flags.kind]) {
  console.error(`--kind ${flags.kind}: want one of ${Object.keys(kinds).join(', ')}`);
  process.exit(2);
}

const handle = kinds[flags.kind]({ title: flags.title });
const server = createServer((request, response) => {
  if (new URL(request.url, 'http://service').pathname === '/graphql') return handle(request, response);
  response.writeHead(404).end();
});
exitWhenTold({ withStdin: flags['exit-with-stdin'] });
await listen(server, Number(flags.port), (port) => ({ graphql: `http://127.0.0.1:${port}/graphql` }));
