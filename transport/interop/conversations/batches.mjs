// Conversations of one HTTP request. The reference never disposes of what a
// batch leaves at the server, so nothing of that is noted.
import { newHttpBatchRpcSession } from "capnweb";

export const batches = {
  async batch(t) {
    t.deaf = true;
    const api = newHttpBatchRpcSession(t.url);
    const counter = api.counter(1);
    await t.outcomes({
      sum: api.add(api.add(1, 2), 3),
      pipelined: counter.add(4),
      again: counter.add(4),
      map: api.list().items.map(i => api.label(i.id, i.name)),
      keyOrder: api.echo({ z: 1, a: { y: 2, b: 3 } }),
      error: api.failLater(),
      absent: api.nothing(),
      getter: api.greeting,
      values: api.echo([undefined, 1n, NaN, new Date(0), new Uint8Array([1])]),
    });
    await t.outcome("too late", () => api.add(1, 2));
  },
  async batchWithThrownValues(t) {
    t.main.failures = ["text", Object.assign(new TypeError("props"), { z: 1, a: [2] }), null];
    const api = newHttpBatchRpcSession(t.url);
    await t.outcomes({ text: api.fail(0), error: api.fail(1), null: api.fail(2) });
  },
  async batchWithStubs(t) {
    t.deaf = true;
    const api = newHttpBatchRpcSession(t.url);
    const counter = await api.counter(1);
    await t.outcome("a stub after its batch", () => counter.add(1));
  },
  async batchThatBreaks(t) {
    let reason;
    const api = newHttpBatchRpcSession(t.url);
    api.onRpcBroken(e => { reason = e; });
    await t.outcome("call", api.add(1, 2));
    await new Promise(r => setImmediate(r));
    await t.say("broken:", reason);
  },
  async batchRequests(t) {
    for (const [name, init] of Object.entries({
      get: { method: "GET" }, put: { method: "PUT", body: "x" }, empty: { method: "POST", body: "" },
      push: { method: "POST", body: '["push",["pipeline",0,["add"],[1,2]]]\n["pull",1]' },
      unpulled: { method: "POST", body: '["push",["pipeline",0,["add"],[1,2]]]' },
      value: { method: "POST", body: '["push",[[1,{"z":1,"a":2}]]]\n["pull",1]' },
    })) {
      const response = await fetch(t.url, init);
      const text = await response.text();
      await t.say(`${name}: ${response.status}`, response.ok ? text : "");
    }
  },
};
