// The object that the reference serves to the Go client. The Go test serves
// one with the same methods to client.mjs.
import { RpcTarget } from "capnweb";

export class Counter extends RpcTarget {
  #value = 0;
  #disposed;
  constructor(value, disposed) {
    super();
    this.#value = value;
    this.#disposed = disposed;
  }
  add(n) { return (this.#value += n); }
  get value() { return this.#value; }
  [Symbol.dispose]() { this.#disposed?.(); }
}

export class Api extends RpcTarget {
  #seen = [];
  #kept = null;
  #disposed = 0;
  #session = () => ({ imports: 0, exports: 0 });

  attach(session) { this.#session = () => session.getStats(); }

  echo(value) { return value; }
  add(a, b) { return a + b; }
  note(n) { this.#seen.push(n); }
  seen() { return this.#seen; }
  counter(start) { return new Counter(start, () => { this.#disposed++; }); }
  counters() { return { list: [new Counter(1), new Counter(2)], name: "two" }; }
  disposed() { return this.#disposed; }
  list() { return { items: [{ id: 1, name: "one" }, { id: 2, name: "two" }, { id: 3, name: "three" }], none: null }; }
  describe(id, name) { return `${id}:${name}`; }
  async later(value) { await new Promise(r => setTimeout(r, 5)); return value; }
  async call(f, ...args) { return await f(...args); }
  keep(f) { this.#kept = f.dup(); }
  async useKept(value) { return await this.#kept(value); }
  drop() { this.#kept[Symbol.dispose](); this.#kept = null; }
  stats() { return this.#session(); }
  fail() {
    throw Object.assign(new RangeError("out of range", { cause: new TypeError("the cause") }),
      { code: "too_large", limit: 7, when: new Date(0) });
  }
  async collect(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  }
  produce(n) {
    let i = 0;
    return { stream: new ReadableStream({ pull(c) { if (i < n) c.enqueue(i++); else c.close(); } }) };
  }
  produceBadly() { return new ReadableStream({ pull(c) { c.error(new RangeError("the source broke")); } }); }
  async write(sink, chunks) {
    const writer = sink.getWriter();
    for (const chunk of chunks) await writer.write(chunk);
    await writer.close();
  }
  #sunk = { chunks: [], end: "" };
  sink() {
    const sunk = this.#sunk = { chunks: [], end: "" };
    return new WritableStream({
      write(chunk) { sunk.chunks.push(chunk); if (chunk === "bad") throw new TypeError("no such chunk"); },
      close() { sunk.end = "closed"; },
      abort(reason) { sunk.end = reason.message; },
    });
  }
  sunk() { return this.#sunk; }
  async read(request) { return `${request.method} ${request.url} ${await request.text()}`; }
  async size(blob) { return `${blob.type} ${blob.size}`; }
  failMany() { throw new AggregateError([new Error("first"), new Error("second")], "many"); }
}
