// Calls written as data, so that a test in another language can make them with the real client.
//
// A chain is a list of steps: {"call": name, "args": [...]}, {"get": name} or {"map": shape}. All of a chain is
// pipelined: nothing is awaited between its steps. A shape is a path (["service","name"]) or an object of paths.

/** What JSON cannot say, as {"$js": kind, …}. */
const specials = {
  undefined: () => undefined,
  bigint: ({ of }) => BigInt(of),
  date: ({ of }) => new Date(of),
  function: () => () => undefined,
  repeat: ({ of, count }) => of.repeat(count),
  nest: ({ depth }) => {
    let value = 0;
    for (let i = 0; i < depth; i++) value = [value];
    return value;
  },
};

export function value(json) {
  if (Array.isArray(json)) return json.map(value);
  if (json === null || typeof json !== 'object') return json;
  if (json.$js) return specials[json.$js](json);
  return Object.fromEntries(Object.entries(json).map(([key, inner]) => [key, value(inner)]));
}

const walk = (from, path) => path.reduce((at, key) => at[key], from);

function pick(item, shape) {
  if (Array.isArray(shape)) return walk(item, shape);
  return Object.fromEntries(Object.entries(shape).map(([key, path]) => [key, walk(item, path)]));
}

/** The promise at the end of a chain that starts at stub. */
export function follow(stub, steps) {
  return steps.reduce((at, { call, get, map, args = [] }) => {
    if (map !== undefined) return at.map((item) => pick(item, map));
    if (get !== undefined) return at[get];
    return at[call](...args.map(value));
  }, stub);
}

/** An error as JSON, with its own properties (code, leader). */
export function describe(error) {
  if (!(error instanceof Error)) return { name: 'NotAnError', message: String(error) };
  return { ...error, name: error.name, message: error.message };
}
