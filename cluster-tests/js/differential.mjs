// Compares a gateway with graphql-js: random services, random documents, equal answers.
//
//   node differential.mjs --gateway 127.0.0.1:4000 [--seeds 1,2,3] [--documents 100] [--show 3]
//
// Prints one JSON object: how much was compared, and each difference with what repeats it.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { newWebSocketRpcSession } from 'capnweb';
import { buildClientSchema, getIntrospectionQuery, lexicographicSortSchema, printSchema } from 'graphql';
import { WebSocket } from 'ws';
import { Chance } from './differential-chance.mjs';
import { Documents, literal } from './differential-documents.mjs';
import { addDefaults, mergedSDL, ownNames, randomService, sharedNames } from './differential-model.mjs';
import { Executable, Served } from './differential-services.mjs';

globalThis.WebSocket ??= WebSocket; // capnweb reads the constants of the global, which node 20 has not

const { values: flags } = parseArgs({
  options: {
    gateway: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    documents: { type: 'string', default: '100' },
    show: { type: 'string', default: '3' },
    verbose: { type: 'boolean', default: false },
  },
});
const graphql = `http://${flags.gateway}/graphql`;

const serving = new Map(); // by path
const server = createServer((request, response) => {
  const served = serving.get(request.url);
  if (!served) return response.writeHead(404).end();
  served.answer(request, response).catch((problem) => response.writeHead(500).end(String(problem)));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const api = newWebSocketRpcSession(`ws://${flags.gateway}/api`);

/** Tells the gateway the list, newest first, and waits until all of it is served. */
async function configure(list) {
  const verdict = await api.updateConfig({ services: list });
  if (!verdict.success) throw new Error(verdict.error);
  for (let i = 0; i < 500; i++) {
    const { services } = await api.status();
    if (services.length === list.length && services.every((s) => s.state === 'serving')) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not served: ${JSON.stringify((await api.status()).services)}`);
}

async function post(body, headers = {}) {
  const response = await fetch(graphql, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
  return response.text();
}

async function ask(request, op, chance) {
  if (op === 'subscription') return chance.is(0.5) ? overEvents(request) : overSocket(request);
  if (op === 'query' && chance.is(0.15)) {
    const parameters = Object.entries(request).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)]);
    const url = `${graphql}?${new URLSearchParams(parameters)}`;
    if (url.length < 8000) return [JSON.parse(await (await fetch(url)).text())];
  }
  return [JSON.parse(await post(request))];
}

async function overEvents(request) {
  const text = await post(request, { accept: 'text/event-stream' });
  if (text.startsWith('{')) return [JSON.parse(text)];
  return text
    .split('\n\n')
    .filter((e) => e.startsWith('event: next'))
    .map((e) => JSON.parse(e.slice(e.indexOf('data: ') + 6)));
}

/** graphql-transport-ws. */
function overSocket(request) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(graphql.replace('http', 'ws'), 'graphql-transport-ws');
    const all = [];
    const done = () => {
      socket.close();
      resolve(all);
    };
    socket
      .on('error', reject)
      .on('open', () => socket.send('{"type":"connection_init"}'))
      .on('message', (text) => {
        const { type, payload } = JSON.parse(text);
        if (type === 'connection_ack') socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: request }));
        if (type === 'next') all.push(payload);
        if (type === 'error') {
          all.push({ errors: payload });
          done();
        }
        if (type === 'complete') done();
      })
      .on('close', (code, reason) => reject(new Error(`closed ${code} ${reason}`)));
  });
}

const paths = (errors) => (errors ?? []).map((e) => JSON.stringify(e.path ?? null)).sort();

/** What is different, or nothing. */
function difference(want, got, sameMessages) {
  if (want.refused) {
    const [answer] = got;
    // A subscription that a service refuses has begun already: what is refused is its one event.
    const empty =
      answer.data === undefined || (want.subscription && Object.values(answer.data ?? {}).every((v) => v === null));
    return got.length === 1 && answer.errors?.length && empty
      ? ''
      : `want a refusal: ${want.refused.map((e) => e.message)}`;
  }
  const wanted = want.events ?? [want.result];
  if (wanted.length !== got.length) return `want ${wanted.length} results, got ${got.length}`;
  return wanted.map((w, i) => answerDifference(w, got[i], sameMessages)).find(Boolean) ?? '';
}

function answerDifference(want, got, sameMessages) {
  if (JSON.stringify(want.data) !== JSON.stringify(got.data)) return 'data';
  const [wanted, gotten] = [paths(want.errors), paths(got.errors)];
  // Once data is null, graphql-js has stopped looking: services that were asked meanwhile may have found more.
  const missing = wanted.filter((p) => !gotten.includes(p));
  if (missing.length || (want.data !== null && gotten.length !== wanted.length)) return `errors at ${wanted}`;
  const plainly = (e) => e.message.replace(/\b(s\d_)?(Query|Mutation|Subscription)(Root)?\b/g, '$2');
  const messages = new Set(got.errors?.map(plainly));
  if (sameMessages && want.errors?.some((e) => !messages.has(plainly(e)) && !e.message.includes('"""')))
    return `messages of errors`;
  if (
    want.errors?.some(
      (e) =>
        e.extensions.code &&
        !got.errors.some((g) => g.message === e.message && g.extensions.code === e.extensions.code),
    )
  )
    return 'extensions of errors';
  return '';
}

/** graphql-js cannot print a default of a scalar of one's own that is an object. */
const plain = (type) => (/Any\b/.test(String(type)) ? '"x"' : undefined);

/** Names in the merged schema, by the rule that who came first keeps them. */
function namesOf(services, alike) {
  const taken = { types: new Set(), query: new Set(), mutation: new Set(), subscription: new Set() };
  return new Map(
    services.map((s) => {
      const root = (n) => (n === s.nested ? `${s.name}_${n}` : n);
      if (!alike) return [s, { ...ownNames, type: root }];
      const rename = (set, list) => new Map(list.filter((n) => set.has(n)).map((n) => [n, `${s.name}_${n}`]));
      const types = rename(
        taken.types,
        s.types.map((t) => t.name).filter((n) => !sharedNames.has(n)),
      );
      const fields = Object.fromEntries(
        Object.entries(s.roots).map(([op, root]) => [
          op,
          rename(
            taken[op],
            root.fields.map((f) => f.name),
          ),
        ]),
      );
      for (const t of s.types) taken.types.add(types.get(t.name) ?? t.name);
      for (const [op, root] of Object.entries(s.roots))
        for (const f of root.fields) taken[op].add(fields[op].get(f.name) ?? f.name);
      return [s, { type: (n) => types.get(n) ?? root(n), field: (op, n) => fields[op].get(n) ?? n }];
    }),
  );
}

function reference(services, names, served) {
  const roots = { Query: {}, Mutation: {}, Subscription: {} };
  for (const s of services) {
    for (const [op, root] of Object.entries(s.roots)) {
      for (const f of root.fields)
        roots[{ query: 'Query', mutation: 'Mutation', subscription: 'Subscription' }[op]][
          names.get(s).field(op, f.name)
        ] = { resolvers: served.get(s).resolvers, type: root.name, field: f.name };
    }
  }
  return new Executable(
    mergedSDL(services, (s) => names.get(s)),
    (info) => roots[info.parentType.name][info.fieldName],
    (value) => names.get(value.made.service).type(value.type),
  );
}

const summary = {
  documents: 0,
  refused: 0,
  withErrors: 0,
  queries: 0,
  mutations: 0,
  subscriptions: 0,
  differences: [],
};

async function compare(seed, documents) {
  const chance = new Chance(seed);
  const alike = seed % 3 === 0;
  const services = Array.from({ length: chance.between(2, 3) }, (_, i) => randomService(chance, `s${i}`, { alike }));
  for (const s of services) addDefaults(chance, s, (type) => literal(chance, type, plain));
  const served = new Map(services.map((s) => [s, new Served(s)]));
  const list = services.map((s) => ({
    name: s.name,
    url: `http://127.0.0.1:${server.address().port}/${seed}/${s.name}`,
  }));
  services.forEach((s, i) => serving.set(new URL(list[i].url).pathname, served.get(s)));
  for (let n = alike ? 1 : list.length; n <= list.length; n++) await configure(list.slice(0, n).reverse());

  const names = namesOf(services, alike);
  const whole = reference(services, names, served);
  const differ = (kind, more) => summary.differences.push({ seed, kind, ...more });
  const introspection = JSON.parse(
    await post({
      query: getIntrospectionQuery({
        oneOf: true,
        inputValueDeprecation: true,
        specifiedByUrl: true,
        directiveIsRepeatable: true,
      }),
    }),
  );
  const printed = (schema) => printSchema(lexicographicSortSchema(schema));
  const [want, got] = [printed(whole.schema), printed(buildClientSchema(introspection.data))];
  if (want !== got) differ('introspection', { lines: linesApart(want, got) });

  const maker = new Documents(chance, whole.schema);
  for (let i = 0; i < documents; i++) {
    const ops = [
      'query',
      'query',
      'query',
      'query',
      whole.schema.getMutationType() && 'mutation',
      whole.schema.getSubscriptionType() && i % 4 === 0 && 'subscription',
    ].filter(Boolean);
    await compareOne(maker.request(chance.of(ops)), { seed, i, chance, whole, served, sameMessages: !alike, differ });
  }
  await configure([]);
  for (const { url } of list) serving.delete(new URL(url).pathname);
}

async function compareOne(request, { i, chance, whole, served, sameMessages, differ }) {
  const wantLog = [];
  const want = await whole.run(request, wantLog);
  for (const s of served.values()) s.log.length = s.refusals.length = 0;
  const shared = [];
  for (const s of served.values()) s.log = shared;
  const op = request.query.match(/^(mutation|subscription)/)?.[1] ?? 'query';
  let got;
  try {
    got = await ask(request, op, chance);
  } catch (problem) {
    return differ('broken', { i, request, problem: String(problem.cause ?? problem) });
  }
  summary.documents += 1;
  summary.refused += want.refused ? 1 : 0;
  if (flags.verbose) for (const e of want.refused?.slice(0, 1) ?? []) console.error('R', e.message);
  summary.withErrors += want.result?.errors ? 1 : 0;
  summary[{ query: 'queries', mutation: 'mutations', subscription: 'subscriptions' }[op]] += 1;
  const what = difference(want, got, sameMessages);
  const refusals = [...served.values()].flatMap((s) => s.refusals);
  if (what) differ(what, { i, request, want: want.refused ? 'refused' : (want.events ?? want.result), got, refusals });
  else if (refusals.length && !want.refused && !want.result?.errors)
    differ('a service refused', { i, request, refusals });
  if (wantLog.join() !== shared.join())
    differ('order of mutations', { i, request, want: wantLog, got: [...shared], answer: got, refusals: [...refusals] });
}

function linesApart(want, got) {
  const [w, g] = [want.split('\n'), got.split('\n')];
  return { missing: w.filter((l) => !g.includes(l)).slice(0, 10), more: g.filter((l) => !w.includes(l)).slice(0, 10) };
}

for (const seed of flags.seeds.split(',').flatMap((s) => {
  const [from, to = from] = s.split('-').map(Number);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
})) {
  await compare(seed, Number(flags.documents)).catch((problem) =>
    summary.differences.push({ seed, kind: 'broken', problem: problem.stack }),
  );
  if (flags.verbose) console.error(seed, summary.differences.length);
}
const count = summary.differences.length;
summary.differences = summary.differences.slice(0, Number(flags.show));
console.log(JSON.stringify({ ...summary, count }, null, 1));
process.exit(0);
