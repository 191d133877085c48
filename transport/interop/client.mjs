// Runs the scenarios below against the Go server at the URL given (http), and
// prints for each one a line of JSON: its name, and the error if it failed.
import assert from "node:assert/strict";
import { RpcSession, RpcPromise, RpcStub, RpcTarget, WebSocketTransport, newHttpBatchRpcSession } from "capnweb";
import WebSocket from "ws";

const url = process.argv[2];
globalThis.WebSocket ??= WebSocket; // Node 20 has none

async function connect() {
  const ws = new WebSocket(url.replace(/^http/, "ws"));
  const session = new RpcSession(new WebSocketTransport(ws));
  return { api: session.getRemoteMain(), session, ws };
}

// settled waits until both sides hold nothing but their main objects.
async function settled(api, session) {
  for (let i = 0; i < 200; i++) {
    const { imports, exports } = await api.stats();
    const own = session.getStats();
    // The call of stats itself is a result that the server still holds.
    if (imports === 0 && exports <= 1 && own.imports === 1 && own.exports === 1) return;
    await new Promise(r => setTimeout(r, 5));
  }
  assert.fail(`left over: ${JSON.stringify(await api.stats())} there, ${JSON.stringify(session.getStats())} here`);
}

const plain = [
  null, true, false, 0, -0.5, 1e300, 5e-324, 9007199254740991, -9007199254740991, "", "é 漢 \u{1f600} \" \\ \n \u0001",
  [], [[]], [[1, [2]], { a: [] }], {}, { a: { b: [null] } }, undefined, [undefined], { a: undefined },
  Infinity, -Infinity, NaN, 12345678901234567890n, -1n, 0n, new Date(0), new Date(1749342170815), new Date(NaN),
  new Uint8Array([1, 2, 255]), new Uint8Array(0), new Uint8Array([1, 2]).buffer, new Float64Array([1.5, -0]),
  new Int16Array([-1, 7]), new BigUint64Array([1n, 2n ** 63n]), new DataView(new ArrayBuffer(3)), "[\"date\",0]",
  { "export": 1, "0": "zero" }, ["export", -1],
];

const scenarios = {
  async values({ api }) {
    for (const value of plain) {
      let back = await api.echo(value);
      if (value instanceof Uint8Array) back = new Uint8Array(back); // node gives a Buffer
      assert.deepEqual(strip(back), strip(value));
    }
  },
  async pipelining({ api }) {
    assert.equal(await api.counter(5).add(2), 7);
    assert.equal(await api.echo({ a: { b: ["x", "y"] } }).a.b.map(s => s).then(l => l.length), 2);
    assert.equal(await api.echo({ a: { b: "deep" } }).a.b, "deep");
    const { list, name } = await api.counters();
    assert.equal(name, "two");
    assert.equal(await list[1].add(1), 3);
    assert.equal(await api.counters().name, "two");
  },
  async slowPipelining({ api }) {
    const counter = api.later(1).then; // only reading it: a property of a promise is local
    assert.equal(typeof counter, "function");
    const late = api.laterCounter(10);
    const sums = [late.add(1), late.add(1), late.add(1)];
    assert.deepEqual(await Promise.all(sums), [11, 12, 13]);
  },
  async promisesAsParameters({ api }) {
    assert.equal(await api.add(api.add(1, 2), api.later(4)), 7);
    const own = new RpcPromise(new Promise(r => setTimeout(() => r(40), 5)));
    assert.equal(await api.add(own, 2), 42);
    await assert.rejects(async () => await api.add(api.fail(), 1), /out of range/);
  },
  async map({ api }) {
    assert.deepEqual(await api.list().items.map(i => i.name), ["one", "two", "three"]);
    assert.deepEqual(await api.list().items.map(i => api.describe(i.id, i.name)), ["1:one", "2:two", "3:three"]);
    assert.deepEqual(await api.list().items.map(i => ({ id: i.id, label: api.describe(i.id, "x"), n: 1, l: [i.name] })),
      [1, 2, 3].map((id, i) => ({ id, label: `${id}:x`, n: 1, l: [["one", "two", "three"][i]] })));
    assert.equal(await api.list().none.map(i => i.x), null);
    assert.equal(await api.counter(1).value.map(v => v).then(v => v, () => "refused"), undefined);
    const nested = await api.echo([[1, 2], [3]]).map(row => row.map(n => api.add(n, 10)));
    assert.deepEqual(nested, [[11, 12], [13]]);
    const outer = await api.echo([{ k: 1, l: [1, 2] }]).map(row => row.l.map(n => api.add(n, row.k)));
    assert.deepEqual(outer, [[2, 3]]);
  },
  async callbacks({ api, session }) {
    assert.equal(await api.call((a, b) => `${a}-${b}`, "x", "y"), "x-y");
    assert.equal(await api.call(async () => { throw new RangeError("from the callback"); })
      .catch(e => `${e.name}: ${e.message}`), "RangeError: from the callback");
    let disposed = 0;
    class Listener extends RpcTarget {
      tell(x) { return `told ${x}`; }
      [Symbol.dispose]() { disposed++; }
    }
    assert.equal(await api.tell(new Listener(), "me"), "told me");
    await until(() => disposed === 1);
    const stub = new RpcStub(new Listener());
    await api.keepTarget(stub);
    stub[Symbol.dispose]();
    assert.equal(await api.tellKept("you"), "told you");
    assert.equal(disposed, 1);
    await api.drop();
    await until(() => disposed === 2);
    await settled(api, session);
  },
  async releases({ api, session }) {
    for (let i = 0; i < 50; i++) {
      const counter = await api.counter(i);
      const copy = counter.dup();
      counter[Symbol.dispose]();
      assert.equal(await copy.add(1), i + 1);
      copy[Symbol.dispose]();
    }
    await until(async () => await api.disposed() === 50);
    const promise = api.counter(1);
    const sum = promise.add(1);
    promise[Symbol.dispose](); // the call goes through all the same
    assert.equal(await sum, 2);
    await until(async () => await api.disposed() === 51);
    await settled(api, session);
  },
  async stubsThatComeBack({ api, session }) {
    const counter = await api.counter(1);
    const same = await api.echo(counter);
    assert.equal(await same.add(1), 2);
    const own = await api.echo({ f: x => x + 1 });
    assert.equal(await own.f(1), 2);
    for (const stub of [counter, same, own]) stub[Symbol.dispose]();
    await settled(api, session);
  },
  async errors({ api }) {
    const e = await api.fail().then(() => null, e => e);
    assert.ok(e instanceof RangeError);
    assert.equal(e.message, "out of range");
    assert.equal(e.code, "too_large");
    assert.equal(e.limit, 7);
    assert.deepEqual(e.when, new Date(0));
    assert.ok(e.cause instanceof TypeError);
    const many = await api.failMany().then(() => null, e => e);
    assert.deepEqual(many.errors.map(e => e.message), ["first", "second"]);
    const back = await api.echo(Object.assign(new RangeError("as a value"), { code: 1n }));
    assert.ok(back instanceof RangeError);
    assert.equal(back.code, 1n);
    await assert.rejects(async () => await api.nothing(), /no method "nothing" on this target/);
    await assert.rejects(async () => await api.echo({}).z.z, /cannot read z of undefined/);
    assert.equal(await api.add(1, 1), 2); // none of it broke the session
  },
  async fetchValues({ api }) {
    const url = new URL("https://example.com/a?b=%zz#c");
    assert.equal((await api.echo(url)).href, url.href);
    const headers = new Headers([["X-Two", "2"], ["x-one", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-two", "3"]]);
    assert.deepEqual([...await api.echo(headers)], [...headers]);
    const request = new Request("http://example.com/x", {
      method: "POST", body: "hello", headers: { "x-a": "1" }, redirect: "manual",
    });
    const back = await api.echo(request);
    assert.deepEqual([back.method, back.url, back.redirect, back.headers.get("x-a")], ["POST", "http://example.com/x", "manual", "1"]);
    assert.equal(await back.text(), "hello");
    const response = await api.echo(new Response("body", { status: 404, statusText: "gone", headers: { "x-b": "2" } }));
    assert.deepEqual([response.status, response.statusText, response.headers.get("x-b")], [404, "gone", "2"]);
    assert.equal(await response.text(), "body");
    assert.equal((await api.echo(new Response(null, { status: 204 }))).body, null);
    assert.deepEqual(await api.read(new Request("http://a/", { method: "PUT", body: "some text" })), "PUT http://a/ some text");
  },
  async blobs({ api, session }) {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7);
    const [blob, empty] = await api.echo([new Blob([bytes], { type: "image/png" }), new Blob([])]);
    assert.equal(blob.type, "image/png");
    assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), bytes);
    assert.deepEqual([empty.type, empty.size], ["", 0]);
    await settled(api, session);
  },
  async readables({ api, session }) {
    const chunks = [1, "two", [3], { four: 4n }, new Date(5), new Uint8Array([6])];
    const stream = () => new ReadableStream({ start(c) { chunks.forEach(x => c.enqueue(x)); c.close(); } });
    assert.deepEqual(strip(await api.collect(stream())), strip(chunks)); // to Go
    const list = [];
    for await (const x of (await api.produce(1000)).stream) list.push(x); // from Go
    assert.deepEqual(list, Array.from({ length: 1000 }, (_, i) => i));
    const there = [];
    for await (const x of await api.echo(stream())) there.push(x); // there and back
    assert.deepEqual(strip(there), strip(chunks));
    const failing = new ReadableStream({ pull(c) { c.error(new RangeError("no more")); } });
    await assert.rejects(async () => await api.collect(failing), e => e instanceof RangeError && e.message === "no more");
    await assert.rejects((async () => { for await (const _ of await api.produceBadly(3)); })(), /the source broke/);
    let cancelled;
    const endless = new ReadableStream({ pull(c) { c.enqueue("x".repeat(1000)); }, cancel(r) { cancelled = r; } });
    await api.ignore(endless);
    await until(() => cancelled);
    const counters = [];
    for await (const c of await api.counterStream(3)) counters.push(await c.add(1)), c[Symbol.dispose]();
    assert.deepEqual(counters, [1, 2, 3]);
    await settled(api, session);
  },
  async writables({ api, session }) {
    const seen = [];
    let end;
    const sink = opts => new WritableStream({ write(x) { seen.push(x); opts?.write?.(x); }, close() { end = "closed"; }, abort(r) { end = r; } });
    await api.write(sink(), ["a", 2, [3]]);
    assert.deepEqual([seen, end], [["a", 2, [3]], "closed"]);
    await assert.rejects(async () => await api.write(sink({ write() { throw new TypeError("full"); } }), ["a", "b"]), e => e instanceof TypeError && e.message === "full");
    await api.abort(sink(), "enough");
    await until(() => end?.message === "enough");
    end = undefined;
    await api.leaveOpen(sink());
    await until(() => end instanceof Error);
    const writer = (await api.sink()).getWriter(); // to Go
    for (let i = 0; i < 100; i++) await writer.write(i);
    await writer.close();
    assert.deepEqual(await api.sunk(), { chunks: Array.from({ length: 100 }, (_, i) => i), end: "closed" });
    const aborted = (await api.sink()).getWriter();
    await aborted.abort(new Error("changed my mind"));
    await until(async () => (await api.sunk()).end === "changed my mind");
  },
  async backpressure({ api }) {
    let made = 0;
    const fast = new ReadableStream({ pull(c) { made++; c.enqueue(new Uint8Array(32 << 10)); } }, { highWaterMark: 0 });
    const slow = await api.slowly(fast); // reads nothing until told
    let before = -1;
    await until(() => { const still = made === before; before = made; return still && made > 3; });
    assert.ok(made < 12, `${made} chunks of 32 KiB for a window of 256 KiB`);
    assert.equal(await slow.take(20), 20);
  },
  async order({ api }) {
    const calls = [];
    for (let i = 0; i < 1000; i++) calls.push(api.note(i));
    await Promise.all(calls);
    assert.deepEqual(await api.seen(), Array.from({ length: 1000 }, (_, i) => i));
  },
  async leaks({ api, session }) {
    for (let i = 0; i < 300; i++) {
      const counter = api.counter(i);
      const sum = counter.add(1);
      assert.equal(await api.call(n => n, sum), i + 1);
      counter[Symbol.dispose]();
      sum[Symbol.dispose]();
    }
    await settled(api, session);
  },
  async batch() {
    const api = newHttpBatchRpcSession(url);
    const names = api.list().items.map(i => api.describe(i.id, i.name));
    const sum = api.add(api.add(1, 2), 3);
    const failed = api.fail().catch(e => e.code);
    assert.deepEqual(await Promise.all([names, sum, failed]), [["1:one", "2:two", "3:three"], 6, "too_large"]);
  },
};

// strip makes values comparable: byte containers by kind and content.
function strip(v) {
  if (Buffer.isBuffer(v)) return ["Uint8Array", ...v];
  if (ArrayBuffer.isView(v)) return [v.constructor.name, ...new Uint8Array(v.buffer, v.byteOffset, v.byteLength)];
  if (v instanceof ArrayBuffer) return ["ArrayBuffer", ...new Uint8Array(v)];
  if (v instanceof Date) return ["Date", v.getTime()];
  if (Array.isArray(v)) return v.map(strip);
  return v;
}

async function until(condition) {
  for (let i = 0; i < 400; i++) {
    if (await condition()) return;
    await new Promise(r => setTimeout(r, 5));
  }
  assert.fail(`never: ${condition}`);
}

for (const [name, run] of Object.entries(scenarios)) {
  const connection = await connect();
  let error;
  try {
    await run(connection);
  } catch (e) {
    error = e?.stack ?? String(e);
  }
  console.log(JSON.stringify({ name, error }));
  connection.ws.close();
}
process.exit(0);
