// Streams both ways, with their ends, their pace and stubs in them.
import { RpcTarget } from "capnweb";
import { Counter, until } from "./talk.mjs";
import { describe } from "./describe.mjs";

// Streams makes, reads and writes streams at the server.
class Streams extends RpcTarget {
  #talk;
  constructor(talk) {
    super();
    this.#talk = talk;
  }
  async read(stream) { return await describe(stream); }
  async readSome(stream, n, reason) {
    const reader = stream.getReader();
    for (let i = 0; i < n; i++) this.#talk.hear("read", await reader.read());
    await reader.cancel(reason);
  }
  make(chunks, failure) {
    return new ReadableStream({
      start(c) {
        for (const chunk of chunks) c.enqueue(chunk);
        if (failure) c.error(failure); else c.close();
      },
    });
  }
  endless() {
    let i = 0;
    return new ReadableStream({
      pull(c) { c.enqueue(i++); },
      cancel: reason => { this.#talk.hear("cancelled:", reason); },
    }, { highWaterMark: 0 });
  }
  async write(stream, chunks, how, reason) {
    const writer = stream.getWriter();
    writer.closed.catch(() => {});
    for (const chunk of chunks) {
      await writer.write(chunk).catch(e => this.#talk.hear("write failed:", e));
    }
    if (how === "close") await writer.close().catch(e => this.#talk.hear("close failed:", e));
    if (how === "abort") await writer.abort(reason).catch(e => this.#talk.hear("abort failed:", e));
    return "written";
  }
  async flood(stream, count, size) {
    const writer = stream.getWriter();
    for (let i = 0; i < count; i++) {
      await writer.write(`${i}:`.padEnd(size, "x"));
      this.#talk.accepted = i + 1;
    }
    await writer.close();
  }
  sink(failAt) {
    let n = 0;
    return new WritableStream({
      write: chunk => {
        if (++n === failAt) throw new RangeError("the sink is full");
        this.#talk.hear("sink got", chunk);
      },
      close: () => { this.#talk.hear("sink closed"); },
      abort: reason => { this.#talk.hear("sink aborted:", reason); },
    });
  }
  counters(n) { return this.make(Array.from({ length: n }, (_, i) => new Counter(this.#talk, i))); }
  async addAll(stream) {
    const sums = [];
    for await (const counter of stream) {
      sums.push(await counter.add(10));
      counter[Symbol.dispose]();
    }
    return sums;
  }
}

const connect = t => t.connect({ main: new Streams(t) });
const source = (...chunks) => new ReadableStream({
  start(c) {
    for (const chunk of chunks) c.enqueue(chunk);
    c.close();
  },
});

const sink = t => new WritableStream({
  write: chunk => { t.say("got", chunk); },
  close: () => { t.say("closed"); },
  abort: reason => { t.say("aborted:", reason); },
});

export const streams = {
  async readableAsArgument(t) {
    const { api } = await connect(t);
    await t.outcome("chunks", api.read(source("a", { b: [1] }, 3n, new Date(0), undefined, new Uint8Array([1, 2]), [[]])));
    await t.outcome("none", api.read(source()));
    await t.outcome("in an object", api.make([{ inside: 1 }]).then(async s => api.read(s)));
  },
  async readableAsResult(t) {
    const { api } = await connect(t);
    await t.outcome("chunks", api.make(["a", { z: 1, a: 2 }, null]));
    await t.outcome("none", api.make([]));
    await t.outcome("many", api.make(Array.from({ length: 300 }, (_, i) => i)));
  },
  async readableThatFails(t) {
    const { api } = await connect(t);
    await t.outcome("of the server", api.make([], Object.assign(new RangeError("source broke"), { code: "X" })));
    await t.outcome("of the client", api.read(new ReadableStream({ start(c) { c.error(new TypeError("client's source broke")); } })));
  },
  async readableCancelled(t) {
    const { api } = await connect(t);
    const endless = await api.endless();
    const reader = endless.getReader();
    for (let i = 0; i < 3; i++) await t.say("read", await reader.read());
    await reader.cancel(new Error("enough"));
    await until(() => t.serverSaw.length > 0, 300);
    let i = 0;
    const own = new ReadableStream({ pull(c) { c.enqueue(i++); }, cancel: reason => { t.say("cancelled:", reason); } }, { highWaterMark: 0 });
    await t.outcome("some of it", api.readSome(own, 2, "thank you"));
  },
  async readableNeverRead(t) {
    const { api } = await connect(t);
    const result = await api.make(["a", "b"]);
    await result.cancel();
  },
  async writableAsArgument(t) {
    const { api } = await connect(t);
    await t.outcome("closed", api.write(sink(t), ["a", { z: 1, a: 2 }, 5n], "close"));
    await t.outcome("aborted", api.write(sink(t), ["a"], "abort", new RangeError("no more")));
    await t.outcome("left open", api.write(sink(t), ["a"], "neither"));
  },
  async writableAsResult(t) {
    const { api } = await connect(t);
    const writer = (await api.sink()).getWriter();
    for (const chunk of ["a", [1, [2]], { d: new Date(1) }]) await writer.write(chunk);
    await writer.close();
    await t.say("closed");
  },
  async writableThatFails(t) {
    const { api } = await connect(t);
    const failing = new WritableStream({ write(chunk) { if (chunk === 2) throw new RangeError("full at 2"); t.say("got", chunk); } });
    await t.outcome("the server's writes", api.write(failing, [1, 2, 3], "close"));
    const writer = (await api.sink(2)).getWriter();
    for (const chunk of ["a", "b", "c"]) await t.outcome(chunk, writer.write(chunk));
    await t.outcome("close", writer.close());
  },
  async pace(t) {
    const { api } = await connect(t);
    let open;
    const gate = new Promise(done => { open = done; });
    let got = 0;
    const done = api.flood(new WritableStream({ async write() { await gate; got++; } }), 60, 40000);
    await until(() => t.accepted > 3, 500);
    await t.say("held back:", t.accepted < 40);
    open();
    await done;
    await t.say("arrived:", got);
  },
  async stubsInStreams(t) {
    const { api } = await connect(t);
    const sums = [];
    for await (const counter of await api.counters(3)) {
      sums.push(await counter.add(100));
      counter[Symbol.dispose]();
    }
    await t.say("sums", sums);
    await until(() => t.disposed === 3, 300);
    await t.outcome("the server's sums", api.addAll(source(...[1, 2].map(n => new Counter(t, n, "client")))));
    await until(() => t.disposed === 5, 300);
  },
};
