// What crosses the wire, there and back.

async function exchange(t, list) {
  const { api } = await t.connect();
  for (const v of list) {
    await t.outcome("there", () => api.describe(v));
    await t.outcome("and back", () => api.echo(v));
  }
}

const bytes = new Uint8Array([0, 1, 127, 128, 254, 255, 7, 8]);

export const values = {
  plain: t => exchange(t, [null, true, false, undefined, [undefined], { a: undefined }, "", "é 漢 \u{1f600} \" \\ \n \u0001"]),
  numbers: t => exchange(t, [0, -0, 1, -0.5, 1e21, 1e300, 5e-324, 2 ** 53, -(2 ** 53) + 1, 0.1, Infinity, -Infinity, NaN, [NaN, [Infinity]]]),
  bigints: t => exchange(t, [0n, -1n, 12345678901234567890n, 10n ** 300n]),
  dates: t => exchange(t, [new Date(0), new Date(1749342170815), new Date(-1), new Date(8.64e15), new Date(NaN), { at: new Date(5) }]),
  arrays: t => exchange(t, [[], [[]], [[[]]], [1, [2, [3]]], ["export", -1], [["date", 0]], { a: [["error", "x"]] }, [[["pipeline", 0]]]]),
  objects: t => exchange(t, [{}, { a: { b: [null] } }, { export: 1 }, { "": 0 }, { toString: 1, constructor: 2 }]),
  keyOrder: t => exchange(t, [{ z: 1, a: 2, m: { y: 1, b: 2 } }, { 2: "two", 1: "one", b: 0, a: 0 }, [{ q: 1, c: 2 }, { c: 1, q: 2 }]]),
  loneSurrogates: t => exchange(t, ["\ud800", "a\udc00b", { "\ud800": "\udfff" }]),
  bytes: t => exchange(t, [bytes, new Uint8Array(0), bytes.buffer, new DataView(bytes.buffer, 1, 3), { raw: [bytes] }]),
  typedArrays: t => exchange(t, [Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array].map(Kind => new Kind(bytes.buffer))),
  deep: t => exchange(t, [50, 200, 400].map(depth => {
    let v = 0;
    for (let i = 0; i < depth; i++) v = { v };
    return v;
  }).concat([JSON.parse("[".repeat(100) + "]".repeat(100))])),
  large: t => exchange(t, ["x".repeat(5 << 20), new Uint8Array(1 << 20)]),
  many: t => exchange(t, [Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`k${(i * 7919) % 3000}`, i]))]),

  errorValues: t => exchange(t, [
    ...[Error, TypeError, RangeError, SyntaxError, EvalError, ReferenceError, URIError].map(E => new E("a message")),
    new Error(""), new Error("with a cause", { cause: new TypeError("the cause", { cause: "of the cause" }) }),
    new Error("no error as a cause", { cause: { code: 7, at: new Date(0) } }),
    new AggregateError([new RangeError("first"), "second", { third: 3n }], "many"),
    Object.assign(new RangeError("props"), { z: 1, code: "E_X", at: new Date(1), n: 5n, list: [1, [2]], deep: { u: undefined } }),
    Object.assign(new Error("named"), { name: "MyError" }), { inside: [new Error("an object")] },
  ]),
  async thrownErrors(t) {
    const list = [
      new TypeError("typed"), Object.assign(new Error("props"), { z: [1], code: "E", when: new Date(0) }),
      new Error("caused", { cause: new RangeError("deep") }), new AggregateError([new Error("a")], "many"),
      Object.assign(new Error("what cannot be sent is left out"), { f() {}, ok: 1, s: Symbol("x") }),
      new (class Custom extends TypeError {})("subclass"), Object.assign(new Error("named"), { name: "Custom" }),
    ];
    t.main.failures = list;
    const { api } = await t.connect();
    for (let i = 0; i < list.length; i++) await t.outcome(`error ${i}`, api.fail(i));
    await t.outcome("thrown by a callback", api.call(() => { throw list[1]; }));
  },
  async thrownValues(t) {
    const list = ["a string", 7, null, undefined, { an: "object", z: 1, a: 2 }, ["a", "list"], 5n, new Date(0), NaN];
    t.main.failures = list;
    const { api } = await t.connect();
    for (let i = 0; i < list.length; i++) await t.outcome(`value ${i}`, api.fail(i));
    await t.outcome("thrown by a callback", api.call(() => { throw "a fit"; }));
  },
  async stacks(t) {
    const { api } = await t.connect({ options: { onSendError: e => e } });
    await t.outcome("a stack that is sent", api.throw());
    const quiet = (await t.connect()).api;
    await t.outcome("a stack that is not", quiet.throw());
    const other = await t.connect({ options: { onSendError: () => Object.assign(new TypeError("rewritten"), { code: "R" }) } });
    await t.outcome("an error that is rewritten", other.api.throw());
  },
  async notSerializable(t) {
    const { api } = await t.connect();
    await t.outcome("as an argument", () => api.echo(new (class Foreign {})()));
    await t.outcome("as a symbol", () => api.echo(Symbol("s")));
    await t.outcome("the session goes on", api.add(1, 2));
  },

  urls: t => exchange(t, [new URL("https://user:pw@example.com:8080/a/../b?q=1&r=%20#h"), { at: new URL("data:,x") }]),
  headers: t => exchange(t, [new Headers(), new Headers([["B", "2"], ["a", "1"], ["a", "3"], ["set-cookie", "x=1"], ["set-cookie", "y=2"]])]),
  requests: t => exchange(t, [new Request("http://a.example/"), new Request("http://a.example/x", { method: "DELETE", headers: { "X-A": "b" }, redirect: "manual" })]),
  requestBodies: t => exchange(t, [new Request("http://a.example/", { method: "POST", body: "the body" })]),
  responses: t => exchange(t, [new Response(null), new Response(null, { status: 204, statusText: "Nothing", headers: { "X-A": "b" } }), new Response(null, { status: 404 })]),
  responseBodies: t => exchange(t, [new Response("the body", { status: 201 })]),
  blobs: t => exchange(t, [new Blob([]), new Blob(["text"], { type: "text/plain" }), new Blob([bytes]), { two: [new Blob(["a"]), new Blob(["b"])] }, new Blob(["x".repeat(300000)])]),
};
