// The reference GraphQL gateway that catalyst drives (contract section 6): a Cap'n Web main object with updateConfig at
// ws://HOST:PORT/api, and at /graphql the stitched schema of the services in the last configuration that worked.
//
//   node gateway.mjs [--port 0] [--anonymous-errors]
//
// Also for tests: GET /configs lists every configuration received and what was answered; --anonymous-errors hides which
// service is at fault, as a gateway with poorer messages would.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { RpcTarget, newWebSocketRpcSession } from 'capnweb';
import { createYoga } from 'graphql-yoga';
import { WebSocket, WebSocketServer } from 'ws';
import { exitWhenTold, listen } from './serve.mjs';
import { emptySchema, stitch } from './stitching.mjs';

globalThis.WebSocket ??= WebSocket; // capnweb reads the constants of the global, which node 20 has not

/** More configurations than this are forgotten, oldest first; their count goes on. */
const remembered = 1000;

class Gateway {
  schema = emptySchema();
  sessions = 0;
  #serving = [];
  #received = [];
  #count = 0;
  #last = Promise.resolve();
  #anonymous;

  constructor({ anonymous }) {
    this.#anonymous = anonymous;
  }

  /** Serves the complete list of services, or keeps the one before and says which service is at fault. */
  install(config) {
    const turn = this.#last.then(() => this.#install(config)); // one at a time, in the order they came
    this.#last = turn;
    return turn;
  }

  async #install(config) {
    const answer = await this.#serve(config).then(
      () => ({ success: true }),
      (reason) => ({ success: false, error: this.#anonymous ? 'the schemas cannot be stitched' : reason.message }),
    );
    this.#count += 1;
    this.#received.push({ at: Date.now(), services: config?.services ?? null, ...answer });
    if (this.#received.length > remembered) this.#received.shift();
    return answer;
  }

  async #serve(config) {
    const services = config?.services;
    if (!Array.isArray(services)) throw new TypeError('services: want a list');
    for (const [i, service] of services.entries()) {
      if (typeof service?.name !== 'string' || typeof service.url !== 'string') {
        throw new TypeError(`services.${i}: want a name and a url`);
      }
    }
    this.schema = await stitch(services);
    this.#serving = services;
  }

  report() {
    const { sessions } = this;
    return { pid: process.pid, sessions, count: this.#count, serving: this.#serving, received: this.#received };
  }
}

/** What a peer can call: only the methods of its prototype. */
class Api extends RpcTarget {
  #gateway;

  constructor(gateway) {
    super();
    this.#gateway = gateway;
  }

  updateConfig(config) {
    return this.#gateway.install(config);
  }
}

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'anonymous-errors': { type: 'boolean', default: false },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});

const gateway = new Gateway({ anonymous: flags['anonymous-errors'] });
const yoga = createYoga({ schema: () => gateway.schema, logging: false, maskedErrors: false });
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://gateway');
  if (pathname === '/graphql') return yoga(request, response);
  if (pathname === '/configs') return response.end(JSON.stringify(gateway.report()));
  response.writeHead(404).end();
});
new WebSocketServer({ server, path: '/api' }).on('connection', (socket) => {
  gateway.sessions += 1;
  newWebSocketRpcSession(socket, new Api(gateway));
});
exitWhenTold({ withStdin: flags['exit-with-stdin'] });
await listen(server, Number(flags.port), (port) => ({
  api: `ws://127.0.0.1:${port}/api`,
  graphql: `http://127.0.0.1:${port}/graphql`,
  configs: `http://127.0.0.1:${port}/configs`,
}));
