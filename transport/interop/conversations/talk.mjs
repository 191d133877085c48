// A talk is one conversation: pairs of sessions across WebSockets in this
// process, and the transcript of what both ends saw.
import http from "node:http";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { RpcPromise, RpcSession, RpcTarget, WebSocketTransport, nodeHttpBatchRpcResponse } from "capnweb";
import { describe } from "./describe.mjs";

globalThis.WebSocket ??= WebSocket; // Node 20 has none
process.on("unhandledRejection", () => {}); // broken sessions leave some behind

let current; // the talk to which connections belong
let accepted; // takes the next connection; without it, a relay brings a batch

const server = http.createServer((request, response) => {
  nodeHttpBatchRpcResponse(request, response, current.main)
    .catch(e => response.writeHead(500).end(String(e)));
});
new WebSocketServer({ server }).on("connection", ws => {
  if (accepted) accepted(ws); else new RpcSession(new WebSocketTransport(ws), current.main);
  accepted = undefined;
});

// listen returns the address to connect to: the server's, or that of a relay
// before it, which close ends.
export async function listen(relay) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${server.address().port}`;
  if (!relay) return { address, close: async () => 0 };
  const child = spawn(relay, ["--listen", "127.0.0.1:0", "--target", `ws://${address}/`], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  const close = async () => {
    child.kill("SIGTERM");
    return (await once(child, "exit"))[0];
  };
  return { address: String(line).trim().split(" ").pop(), close };
}

// Pair is a client's session and the server's that belongs to it.
class Pair {
  constructor(client, server) {
    Object.assign(this, { client, server });
    this.api = client.session.getRemoteMain();
  }
  stats() { return JSON.stringify([this.client.session.getStats(), this.server.session.getStats()]); }
  idle() { return this.stats() === JSON.stringify(Array(2).fill({ imports: 1, exports: 1 })); }
  closed() { return Promise.all([this.client.closed, this.server.closed]); }
}

function end(ws, main, options) {
  ws.on("error", () => {});
  const closed = new Promise(done => ws.on("close", (code, reason) => done(`${code} ${reason}`)));
  return { ws, closed, session: new RpcSession(new WebSocketTransport(ws), main, options) };
}

export class Talk {
  clientSaw = [];
  serverSaw = [];
  pairs = [];
  disposed = 0; // counters
  deaf = false; // takes no note of the server
  #address;
  constructor(address, main) {
    this.#address = address;
    this.main = main(this);
    current = this;
  }

  get url() { return `http://${this.#address}/`; }

  say(text, ...values) { return this.#add(this.clientSaw, text, values); }
  hear(text, ...values) { return this.#add(this.serverSaw, text, values); }

  // #add keeps the order of events although some values take time to describe.
  async #add(saw, text, values) {
    if (saw === this.serverSaw && this.deaf) return;
    const sentence = Promise.all(values.map(describe)).then(list => [text, ...list].join(" "));
    saw.push(sentence);
    await sentence;
  }

  // outcome says how something that is asked for, or was, came out.
  async outcome(what, asked) {
    try {
      await this.say(`${what}:`, await (asked instanceof RpcPromise || typeof asked !== "function" ? asked : asked()));
    } catch (e) {
      await this.say(`${what} was rejected:`, e);
    }
  }

  // outcomes asks for all at once, as a batch needs it.
  async outcomes(promises) {
    const asked = Object.entries(promises).map(([what, p]) => [what, p.then(v => () => v, e => () => { throw e; })]);
    for (const [what, p] of asked) await this.outcome(what, await p);
  }

  async connect({ main = this.main, clientMain, options } = {}) {
    const arriving = new Promise(done => { accepted = done; });
    const ws = new WebSocket(`ws://${this.#address}/`);
    const client = end(ws, clientMain);
    const pair = new Pair(client, end(await arriving, main, options));
    if (ws.readyState !== WebSocket.OPEN) await once(ws, "open");
    this.pairs.push(pair);
    return pair;
  }

  // raw opens a connection on which the caller speaks the protocol itself: ask
  // sends frames and returns the next frame that comes.
  async raw() {
    const arriving = new Promise(done => { accepted = done; });
    const ws = new WebSocket(`ws://${this.#address}/`);
    end(await arriving, this.main);
    if (ws.readyState !== WebSocket.OPEN) await once(ws, "open");
    const ask = async (...frames) => {
      const next = once(ws, "message");
      for (const frame of frames) ws.send(JSON.stringify(frame));
      return String((await next)[0]);
    };
    return { ask, close: () => ws.close() };
  }

  // part ends the pairs that are still open, when they hold nothing or have
  // had the time for it.
  async part() {
    for (const pair of this.pairs) {
      if (pair.client.ws.readyState !== WebSocket.OPEN) continue;
      await until(() => pair.idle(), 250);
      await this.say("held at the end:", pair.stats());
      pair.client.ws.close(1000);
      await this.say("closed:", await pair.closed());
    }
  }

  async transcript() { return { client: await Promise.all(this.clientSaw), server: await Promise.all(this.serverSaw) }; }
}

// until waits for a condition, for at most ms, and says whether it came true.
export async function until(condition, ms = 1500) {
  for (const start = performance.now(); performance.now() - start < ms;) {
    if (await condition()) return true;
    await new Promise(r => setTimeout(r, 1));
  }
  return false;
}

// Api is the main object of most talks.
export class Api extends RpcTarget {
  #talk;
  #kept = [];
  failures = [];
  constructor(talk) {
    super();
    this.#talk = talk;
  }
  echo(v) { return v; }
  note(v) { this.#talk.hear("note", v); }
  async describe(v) { return await describe(v); }
  add(a, b) { return a + b; }
  list() { return { items: [{ id: 1, name: "one" }, { id: 2, name: "two" }], none: null, grid: [[1, 2], [3]] }; }
  label(id, name) { return `${id}:${name}`; }
  pass(stub) { return { stub: stub.dup() }; }
  counters() { return { a: this.counter(1), list: [this.counter(2)] }; }
  counter(n) { return new Counter(this.#talk, n); }
  async later(v, turns = 5) {
    for (let i = 0; i < turns; i++) await new Promise(r => setImmediate(r));
    return v;
  }
  async laterCounter(n) { return await this.later(new Counter(this.#talk, n)); }
  async call(f, ...args) { return await f(...args); }
  async callMethod(o, name, ...args) { return await o[name](...args); }
  keep(stub) { this.#kept.push(stub.dup()); }
  keepUndupped(stub) { this.#kept.push(stub); }
  async useKept(...args) { return await this.#kept.at(-1)(...args); }
  async useKeptMethod(name, ...args) { return await this.#kept.at(-1)[name](...args); }
  drop() { this.#kept.pop()[Symbol.dispose](); }
  kept() { return this.#kept.at(-1).dup(); }
  fail(i) { throw this.failures[i]; }
  throw() { throwFromHere(); }
  async failLater() { await this.later(); throw new RangeError("too late"); }
  get greeting() { return "hello"; }
  get nested() { return { f: x => x * 2, counter: new Counter(this.#talk, 10) }; }
}

function throwFromHere() { throw new RangeError("from here"); }

// Counter tells the talk of its end, on the side that it lives on.
export class Counter extends RpcTarget {
  #talk;
  #n;
  #of;
  constructor(talk, n, of = "server") {
    super();
    this.#talk = talk;
    this.#of = of;
    this.#n = n;
  }
  add(n = 1) { return this.#n += n; }
  get value() { return this.#n; }
  [Symbol.dispose]() {
    this.#talk.disposed++;
    this.#talk[this.#of === "server" ? "hear" : "say"]("a counter is disposed of at", this.#n);
  }
}
