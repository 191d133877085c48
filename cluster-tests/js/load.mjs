// Clients that register services at random nodes without pause and write down what was acknowledged. An action that
// rejects, or gets no answer in time, is sent again, with the same requestId, to a node chosen anew, until it is answered.
import { newWebSocketRpcSession } from 'capnweb';
import { WebSocket } from 'ws';

const answerWithin = 5000; // ms
const pace = 15; // ms between two actions of one client
const breath = 10; // ms before an attempt is repeated

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Load {
  acked = [];
  refused = [];
  rejected = {};
  attempts = 0;
  slowest = 0; // ms from an action's first attempt to its answer
  #stopped = false;
  #targets;
  #token;
  #clients;

  constructor({ urls, clients, prefix, token = [] }) {
    this.#targets = urls;
    this.#token = token;
    this.#clients = Array.from({ length: clients }, (_, i) => this.#client(`${prefix}-${i}`));
  }

  /** Where the nodes listen now. */
  aim(urls) {
    this.#targets = urls;
  }

  report() {
    return { acked: this.acked.length, refused: this.refused, rejected: this.rejected, attempts: this.attempts, slowest: this.slowest };
  }

  /** Ends after every client's action in hand is answered, and gives all that was acknowledged. */
  async stop() {
    this.#stopped = true;
    await Promise.all(this.#clients);
    return { ...this.report(), acked: this.acked };
  }

  async #client(name) {
    const node = new Line(this.#token);
    for (let i = 0; !this.#stopped; i++) {
      await this.#story(node, `${name}-${i}`, i);
      await pause(pace);
    }
    node.hangUp();
  }

  /** Every second creation is asked for again, every fourth after its service was deleted: a late retry applies nothing. */
  async #story(node, name, i) {
    const data = { name, endpoint: `http://127.0.0.1:9/${name}`, protocol: 'http' };
    const create = { resource: 'dataChannel', action: 'create', data, requestId: `create-${name}` };
    const first = await this.#insist(node, create);
    if (!first) return;
    const ack = { name, id: first.data?.id, index: first.index, at: Date.now(), repeats: [] };
    if (i % 4 === 3) {
      const remove = { resource: 'dataChannel', action: 'delete', data: { id: `${name}:http` }, requestId: `delete-${name}` };
      ack.deleted = (await this.#insist(node, remove))?.index;
    }
    if (i % 2 === 1) ack.repeats.push((await this.#insist(node, create))?.index);
    this.acked.push(ack);
  }

  async #insist(node, action) {
    const began = Date.now();
    for (;;) {
      this.attempts += 1;
      try {
        const result = await node.ask(this.#anyTarget(), action);
        this.slowest = Math.max(this.slowest, Date.now() - began);
        if (result.success) return result;
        this.refused.push({ action, result });
        return null;
      } catch (error) {
        const code = error.code ?? 'none';
        this.rejected[code] = (this.rejected[code] ?? 0) + 1;
        await pause(breath);
      }
    }
  }

  #anyTarget() {
    return this.#targets[Math.floor(Math.random() * this.#targets.length)];
  }
}

/** One client's sessions, at most one a node, opened when needed and dropped when an attempt fails. */
class Line {
  #open = new Map();
  #token;

  /** token is the arguments of connectionFromCli. */
  constructor(token) {
    this.#token = token;
  }

  async ask(url, action) {
    const { scope } = this.#open.get(url) ?? this.#dial(url);
    try {
      return await inTime(scope.applyAction(action));
    } catch (error) {
      if (!error.code) this.#drop(url);
      throw error;
    }
  }

  #dial(url) {
    const socket = new WebSocket(url);
    const scope = newWebSocketRpcSession(socket).connectionFromCli(...this.#token);
    const line = { socket, scope };
    this.#open.set(url, line);
    return line;
  }

  #drop(url) {
    this.#open.get(url)?.socket.terminate();
    this.#open.delete(url);
  }

  hangUp() {
    for (const url of [...this.#open.keys()]) this.#drop(url);
  }
}

function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${answerWithin} ms`)), answerWithin);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
