// Talks to a TestTarget at the URL given, or to one of the reference's kind in
// this process, and prints for each conversation its name and transcript.
import { RpcTarget, newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";
import { Talk, listen } from "./talk.mjs";

class Counter extends RpcTarget {
  #n;
  constructor(n = 0) {
    super();
    this.#n = n;
  }
  increment(amount = 1) { return this.#n += amount; }
  get value() { return this.#n; }
}

// TestTarget has the methods of the reference's own.
class TestTarget extends RpcTarget {
  square(i) { return i * i; }
  callSquare(self, i) { return { result: self.square(i) }; }
  async callFunction(f, i) { return { result: await f(i) }; }
  throwError() { throw new RangeError("test error"); }
  makeCounter(i) { return new Counter(i); }
  incrementCounter(c, i = 1) { return c.increment(i); }
  generateFibonacci(length) {
    const list = [0, 1];
    while (list.length < length) list.push(list.at(-1) + list.at(-2));
    return list.slice(0, length);
  }
  returnNull() { return null; }
  returnUndefined() {}
  returnNumber(i) { return i; }
  async echoBlob(blob) { return new Blob([await blob.arrayBuffer()], { type: blob.type }); }
}

const conversations = {
  async calls(t, api) {
    await t.outcome("square", api.square(12));
    await t.outcome("square of nothing", api.square());
    await t.outcome("callSquare", api.callSquare(api, 5));
    await t.outcome("callSquare of one's own", api.callSquare(new TestTarget(), 6));
    await t.outcome("callFunction", api.callFunction(i => i + 1, 5));
    await t.outcome("callFunction, async", api.callFunction(async i => ({ z: i, a: await api.square(i) }), 5));
    await t.outcome("callFunction that fails", api.callFunction(() => { throw Object.assign(new TypeError("no"), { code: 3 }); }, 5));
    await t.outcome("throwError", api.throwError());
    await t.outcome("pipelined on throwError", api.throwError().a.b());
    for (const n of [0, 1, 2, 3, 10, 100]) await t.outcome(`generateFibonacci ${n}`, api.generateFibonacci(n));
    await t.outcome("map", api.generateFibonacci(8).map(n => api.square(n)));
    await t.outcome("map of null", api.returnNull().map(n => api.square(n)));
    await t.outcome("null", api.returnNull());
    await t.outcome("undefined", api.returnUndefined());
    await t.outcome("number", api.returnNumber(1.5));
    await t.outcome("infinity", api.returnNumber(-Infinity));
    await t.outcome("promise as parameter", api.square(api.returnNumber(3)));
  },
  async counters(t, api) {
    const counter = api.makeCounter(4);
    await t.outcome("pipelined", counter.increment());
    await t.outcome("passed", api.incrementCounter(counter));
    await t.outcome("passed with an amount", api.incrementCounter(counter, 10));
    await t.outcome("awaited", (await counter).increment(-1));
    await t.outcome("one's own", api.incrementCounter(new Counter(100), 5));
    await t.outcome("from nothing", api.makeCounter().increment());
  },
  async absentMethods(t, api) {
    await t.outcome("method", api.nothing());
    await t.outcome("property", api.nothing);
    await t.outcome("method of a counter", api.makeCounter(1).nothing());
    await t.outcome("method of null", api.returnNull().nothing());
  },
  async counterValue(t, api) { await t.outcome("value", api.makeCounter(4).value); },
  async blob(t, api) {
    await t.outcome("echo", api.echoBlob(new Blob(["text"], { type: "text/plain" })));
    await t.outcome("empty", api.echoBlob(new Blob([])));
  },
  async batch(t) {
    const api = newHttpBatchRpcSession(t.url);
    const counter = api.makeCounter(2);
    await t.outcomes({
      square: api.square(6), pipelined: counter.increment(3), passed: api.incrementCounter(counter, 4),
      throwError: api.throwError(), map: api.generateFibonacci(5).map(n => api.square(n)),
    });
  },
  async methods(t) {
    for (const method of ["GET", "PUT", "DELETE", "HEAD"]) {
      const response = await fetch(t.url, { method });
      await response.text();
      await t.say(`${method}: ${response.status}`);
    }
  },
};

const address = process.argv[2] ?? (await listen()).address;
for (const [name, run] of Object.entries(conversations)) {
  const talk = new Talk(address, () => new TestTarget());
  try {
    await run(talk, newWebSocketRpcSession(`ws://${address}/`));
  } catch (e) {
    await talk.say("it threw", e);
  }
  console.log(JSON.stringify({ name, transcript: await talk.transcript() }));
}
process.exit(0);
