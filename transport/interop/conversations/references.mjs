// Objects by reference: order, ownership, pipelining, map and callbacks.
import { RpcPromise, RpcStub, RpcTarget } from "capnweb";
import { Api, Counter, until } from "./talk.mjs";

export const references = {
  async order(t) {
    const { api } = await t.connect();
    for (let i = 0; i < 100; i++) api.note(i);
    await api.note("last");
  },
  async orderOnPromises(t) {
    const { api } = await t.connect();
    const counter = api.laterCounter(0);
    await t.say("in order", await Promise.all(Array.from({ length: 20 }, (_, i) => counter.add(i))));
    const relayed = api.call(async f => { for (let i = 0; i < 10; i++) await f(i); }, async i => { await api.note(i); });
    await t.outcome("callbacks", relayed.then(() => "done"));
  },
  async pipelining(t) {
    const { api } = await t.connect();
    await t.outcome("call on a result", api.counter(5).add(2));
    await t.outcome("property of a result", api.list().items[1].name);
    await t.outcome("digits in the path", api.list().grid[0][1]);
    await t.outcome("length", api.list().items.length);
    await t.outcome("absent property", api.list().nothing);
    await t.outcome("beyond an absent property", api.list().nothing.more);
    await t.outcome("method of null", api.list().none.method());
    await t.outcome("absent method", api.nothing());
    await t.outcome("of a counter", api.counter(1).nothing());
    await t.outcome("a method as a value", api.counter(1).add.then(f => typeof f));
    await t.outcome("a getter", api.greeting);
    await t.outcome("a getter's function", api.nested.f(4));
    await t.outcome("a getter's counter", api.nested.counter.add(1));
    await t.outcome("a counter's value", api.counter(8).value);
    await t.outcome("what objects have", api.toString());
    await t.outcome("own fields", api.failures);
    await t.outcome("constructor", api.constructor);
  },
  // What the reference's client never sends, but other clients may.
  async rawFrames(t) {
    const { ask, close } = await t.raw();
    const push = (...at) => ["push", ["pipeline", ...at]];
    await t.say("numbers in a path:", await ask(push(0, ["list"], []), push(1, ["items", 1, "name"]), ["pull", 2]));
    await t.say("a number beyond the end:", await ask(push(1, ["items", 9]), ["pull", 3]));
    await t.say("a value pushed:", await ask(["push", [[{ z: 1, a: ["date", 0] }]]], ["pull", 4]));
    await t.say("a promise in parameters:", await ask(push(0, ["add"], [1, 1]), push(0, ["add"], [1, ["pipeline", 5]]), ["pull", 6]));
    await t.say("released early:", await ask(push(0, ["counter"], [1]), push(7, ["add"], [1]), ["release", 7, 1], ["pull", 8]));
    close();
  },
  async pipeliningOnFailures(t) {
    const { api } = await t.connect();
    const late = api.failLater();
    const all = [late, late.a.b, late.method(1), late.method().other(2), api.add(late, 1), late.map(x => x)];
    for (const [i, promise] of all.entries()) await t.outcome(`step ${i}`, promise);
    await t.outcome("the session goes on", api.add(1, 2));
  },
  async promisesInParameters(t) {
    const { api } = await t.connect();
    await t.outcome("of calls", api.add(api.add(1, 2), api.later(4)));
    await t.outcome("nested", api.echo({ a: [api.add(1, 1)], z: api.list().items[0].name }));
    await t.outcome("own", api.add(new RpcPromise(new Promise(r => setImmediate(() => r(40)))), 2));
    await t.outcome("own that fails", api.add(new RpcPromise(Promise.reject(new TypeError("own failure"))), 2));
    await t.outcome("as results", api.call(() => api.later("through")));
  },
  async disposal(t) {
    const { api } = await t.connect();
    const counter = await api.counter(1);
    const copy = counter.dup();
    counter[Symbol.dispose]();
    await t.outcome("the copy", copy.add(1));
    await t.outcome("the original", () => counter.add(1));
    copy[Symbol.dispose]();
    copy[Symbol.dispose]();
    await until(() => t.disposed === 1, 300);
    const unwanted = api.laterCounter(2);
    const sum = unwanted.add(5);
    unwanted[Symbol.dispose]();
    await t.outcome("a call on a promise that is disposed of", sum);
    await until(() => t.disposed === 2, 300);
    api.laterCounter(3)[Symbol.dispose]();
    await until(() => t.disposed === 3, 300);
  },
  async resultsOwnTheirStubs(t) {
    const { api } = await t.connect();
    const result = await api.counters();
    await t.outcome("used", result.a.add(1));
    result[Symbol.dispose]();
    await until(() => t.disposed === 2, 300);
    await t.outcome("after", () => result.a.add(1));
    for (let i = 0; i < 20; i++) {
      const two = await api.counters();
      await two.list[0].add(i);
      two[Symbol.dispose]();
    }
  },
  async parametersAfterReturn(t) {
    const { api } = await t.connect();
    const counter = new Counter(t, 1, "client");
    await t.outcome("lent", api.callMethod(counter, "add", 1));
    await until(() => t.disposed === 1, 300);
    const kept = new RpcStub(new Counter(t, 5, "client"));
    await api.keep(kept);
    kept[Symbol.dispose]();
    await t.outcome("kept", api.useKeptMethod("add", 2));
    await t.say("disposed of so far", t.disposed);
    await api.drop();
    await until(() => t.disposed === 2, 300);
    await api.keepUndupped(new Counter(t, 7, "client"));
    await until(() => t.disposed === 3, 300);
    await t.outcome("kept without dup", api.useKeptMethod("add", 2));
  },
  async oneStubManyTimes(t) {
    const { api } = await t.connect();
    const stub = new RpcStub(new Counter(t, 0, "client"));
    for (let i = 0; i < 5; i++) await api.keep(stub);
    await t.outcome("many in one", api.call((a, b, { c }) => a.add(1).then(() => b.add(1)).then(() => c.add(1)), stub, stub, { c: stub }));
    stub[Symbol.dispose]();
    for (let i = 0; i < 5; i++) await api.drop();
    await until(() => t.disposed === 1, 300);
  },
  async callbacks(t) {
    const { api } = await t.connect();
    await t.outcome("with arguments", api.call((a, b) => ({ sum: a + b }), 1, 2));
    await t.outcome("failing", api.call(() => { throw Object.assign(new RangeError("client says no"), { code: "NO" }); }));
    await t.outcome("there and back again", api.call((f, n) => f(n), async n => api.add(n, 1), 5));
    await t.outcome("functions returned", api.call(() => x => x + 1).then(f => f(2)));
    const returned = api.call(() => new Counter(t, 3, "client"));
    await t.outcome("a target returned", returned.add(4));
    returned[Symbol.dispose]();
    await until(() => t.disposed === 1, 300);
    await t.outcome("undefined", api.call(() => {}));
    await api.keep(x => `kept ${x}`);
    await t.outcome("kept", api.useKept("well"));
    await api.drop();
  },
  async backToTheirOwner(t) {
    const { api } = await t.connect();
    const counter = await api.counter(1);
    await t.outcome("the server's, called there", api.callMethod(counter.dup(), "add", 1));
    const same = await api.pass(counter.dup());
    await t.outcome("the server's, come back", same.stub.add(1));
    await t.outcome("one counter", counter.value);
    same[Symbol.dispose]();
    counter[Symbol.dispose]();
    await until(() => t.disposed === 1, 300);
    const own = await api.pass(new Counter(t, 50, "client"));
    await t.outcome("the client's, come back", own.stub.add(1));
    own[Symbol.dispose]();
    await until(() => t.disposed === 2, 300);
    const result = await api.echo({ f: x => x * 2 });
    await t.outcome("a function", () => result.f(21));
    result[Symbol.dispose]();
  },
  async map(t) {
    const { api } = await t.connect();
    const items = () => api.list().items;
    await t.outcome("fields", items().map(i => i.name));
    await t.outcome("objects", items().map(i => ({ z: i.id, a: [i.name, 1n] })));
    await t.outcome("calls with a capture", items().map(i => api.label(i.id, i.name)));
    await t.outcome("nested", api.list().grid.map(row => row.map(n => api.add(n, 10))));
    await t.outcome("null", api.list().none.map(i => i.x));
    await t.outcome("undefined", api.list().nothing.map(i => i.x));
    await t.outcome("one value", api.list().map(l => l.items[0].name));
    await t.outcome("of a number", api.add(1, 2).map(n => api.add(n, 1)));
    await t.outcome("counters", items().map(i => api.counter(i.id)).then(async list => {
      const sums = [];
      for (const c of list) sums.push(await c.add(1));
      list[Symbol.dispose]();
      return sums;
    }));
    await t.outcome("failing", items().map(i => i.nothing.more));
    await t.outcome("client's capture", items().map((f => i => api.call(f, i.id))(api.pass(n => n * 2).stub)));
    const stub = new RpcStub(new Counter(t, 0, "client"));
    await t.outcome("own stub captured", items().map(i => stub.add(i.id)));
    stub[Symbol.dispose]();
  },
  async threeParties(t) {
    const one = await t.connect();
    const two = await t.connect({ main: new Api(t) });
    const counter = await one.api.counter(1);
    await t.outcome("one's counter at two", two.api.callMethod(counter.dup(), "add", 5));
    await t.outcome("one's promise at two", two.api.add(one.api.add(1, 2), 3));
    await t.outcome("two's function at one", one.api.call(two.api.add, 1, 2));
    await t.outcome("two's failure at one", one.api.call(two.api.throw));
    const home = await two.api.pass(counter.dup());
    await t.outcome("there and home", one.api.callMethod(home.stub, "add", 1));
    home[Symbol.dispose]();
    await two.api.keep(counter.dup());
    counter[Symbol.dispose]();
    await t.outcome("kept at two", two.api.useKeptMethod("add", 1));
    await two.api.drop();
    await until(() => t.disposed === 1, 300);
  },
  async whoMayCallTheClient(t) {
    class Client extends RpcTarget { hello(name) { return `hello ${name}`; } }
    const pair = await t.connect({ clientMain: new Client() });
    await t.outcome("the client's main", pair.server.session.getRemoteMain().hello("there"));
    const none = await t.connect();
    await t.outcome("a client without one", none.server.session.getRemoteMain().hello("there"));
  },
};
