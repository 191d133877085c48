// The real npm client for tests in another language: one JSON command a line on stdin, one JSON answer a line on stdout,
// {"id", "value"} or {"id", "error"}, in the order the answers come. It ends with its stdin.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { newHttpBatchRpcSession } from 'capnweb';
import { describe, follow } from './chains.mjs';
import { Collector } from './collector.mjs';
import { Load } from './load.mjs';
import { Copy, PeerSession } from './peer.mjs';
import { RawSocket, Session } from './sessions.mjs';

const sessions = new Map();
const sockets = new Map();
const loads = new Map();
const peers = new Map();
const collectors = new Map();

let requests = 0;
const { fetch } = globalThis;
globalThis.fetch = (...args) => {
  requests += 1;
  return fetch(...args);
};

function held(map, name) {
  const thing = map.get(name);
  if (!thing) throw new Error(`no ${name} is open`);
  return thing;
}

const commands = {
  open({ session, url }) {
    sessions.set(session, new Session(url));
  },
  close({ session }) {
    held(sessions, session).close();
    sessions.delete(session);
  },
  report: ({ session }) => held(sessions, session).report(),
  pause: ({ session }) => held(sessions, session).pause(),
  resume: ({ session }) => held(sessions, session).resume(),

  /** Follows a chain and answers its result; with keep, holds the promise under that name and awaits nothing. */
  call({ session, from, steps, keep }) {
    const open = held(sessions, session);
    const end = follow(open.from(from), steps);
    if (!keep) return end;
    open.kept.set(keep, end);
  },

  /** Follows the same chain count times without ever asking for a result; with pull, asks and drops the answers. */
  flood({ session, from, steps, count, pull }) {
    const start = held(sessions, session).from(from);
    for (let i = 0; i < count; i++) {
      const end = follow(start, steps);
      if (pull) end.then(() => {}, () => {});
    }
  },

  /** Sends a file as a ReadableStream to restore. */
  restore({ session, from, file }) {
    const bytes = Readable.toWeb(createReadStream(file));
    return held(sessions, session).from(from).restore(bytes);
  },

  async watch({ session, from, watch, options }) {
    const open = held(sessions, session);
    const events = [];
    const args = options ? [(event) => void events.push(event), options] : [(event) => void events.push(event)];
    open.watches.set(watch, { events, subscription: await open.from(from).watchRoutes(...args) });
  },
  events: ({ session, watch, after }) => held(held(sessions, session).watches, watch).events.slice(after),
  /** The index that the events add up to: `lagged` only announces one. */
  reached({ session, watch }) {
    const { events } = held(held(sessions, session).watches, watch);
    return events.findLast(({ type }) => type !== 'lagged')?.index ?? 0;
  },
  unwatch({ session, watch }) {
    const { watches } = held(sessions, session);
    held(watches, watch).subscription[Symbol.dispose]();
  },

  /** Applies an action. Answers the result, and the steps of which it was told before the answer. */
  async act({ session, from, action }) {
    const steps = [];
    const result = await held(sessions, session).from(from).applyAction(action, (step) => void steps.push(step));
    return { result, steps: [...steps] };
  },

  /** Tells a node that waits to join a site. Answers the result, and the progress that was told until then. */
  async join({ session, from, address, token }) {
    const events = [];
    const result = await held(sessions, session).from(from).join(address, { token }, (event) => void events.push(event));
    return { result, events };
  },

  /** All chains in one HTTP batch. Answers each chain's outcome and how many HTTP requests were made. */
  async batch({ url, chains }) {
    const before = requests;
    const api = newHttpBatchRpcSession(url);
    const outcomes = await Promise.allSettled(chains.map((steps) => follow(api, steps)));
    const results = outcomes.map(({ value, reason }) => (reason ? { error: describe(reason) } : { value }));
    return { requests: requests - before, results };
  },

  async raw({ socket, url }) {
    const raw = new RawSocket(url);
    sockets.set(socket, raw);
    await raw.opened;
  },
  send({ socket, frames, repeat }) {
    const raw = held(sockets, socket);
    for (const frame of frames) raw.socket.send(repeat ? frame.repeat(repeat) : frame);
  },
  heard: ({ socket }) => held(sockets, socket).report(),
  hangUp({ socket }) {
    held(sockets, socket).socket.terminate();
    sockets.delete(socket);
  },

  /** A session with a site as a peer, or without info as a collector; after another, with its copy. Answers the site's info. */
  peer({ peer, url, after, ...how }) {
    const session = new PeerSession(url, after ? held(peers, after).copy : new Copy());
    peers.set(peer, session);
    return session.open(how);
  },
  announce: ({ peer, updates }) => held(peers, peer).update(updates),
  goodbye: ({ peer, reason }) => held(peers, peer).close(reason),
  drop: ({ peer }) => held(peers, peer).drop(),
  fallSilent: ({ peer }) => held(peers, peer).fallSilent(),
  wake: ({ peer }) => held(peers, peer).wake(),
  told({ peer }) {
    const { copy, keepAlives, closed, broken } = held(peers, peer);
    return { ...copy.report(), keepAlives, closed, broken: broken && describe(broken) };
  },
  collect({ collector, ...how }) {
    collectors.set(collector, new Collector(how));
  },
  collected: ({ collector }) => held(collectors, collector).report(),

  load({ load, ...how }) {
    loads.set(load, new Load(how));
  },
  aim: ({ load, urls }) => held(loads, load).aim(urls),
  progress: ({ load }) => held(loads, load).report(),
  async finish({ load }) {
    const all = await held(loads, load).stop();
    loads.delete(load);
    return all;
  },
};

function answer(reply) {
  process.stdout.write(`${JSON.stringify(reply, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))}\n`);
}

async function run({ id, op, ...args }) {
  try {
    answer({ id, value: (await commands[op](args)) ?? null });
  } catch (error) {
    answer({ id, error: describe(error) });
  }
}

createInterface({ input: process.stdin }).on('line', (line) => run(JSON.parse(line))).on('close', () => process.exit(0));
