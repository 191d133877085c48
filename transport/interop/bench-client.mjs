// Calls echo of the server at the address given and prints what that took, as
// a line of JSON. Arguments: address, "ws" or "batch", calls in flight (or
// batches of 100), seconds to warm up, seconds to measure.
import WebSocket from "ws";
import { newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";

globalThis.WebSocket ??= WebSocket; // Node 20 has none

const [address, medium, inFlight, warmUp, seconds] = process.argv.slice(2);
const books = {
  name: "books-of-the-month", endpoint: "http://books.internal.example.com:8080/graphql",
  protocol: "http:graphql", region: "eu-central-1", tags: { tier: "front" },
};

function overWebSocket() {
  const api = newWebSocketRpcSession(new WebSocket(`ws://${address}`));
  return {
    step: async () => check(await api.echo(books)),
    usage: () => api.usage(),
    calls: 1,
  };
}

// fetch keeps its connections, one for each batch in flight.
function overBatches() {
  const calls = 100;
  const batch = () => newHttpBatchRpcSession(`http://${address}`);
  return {
    step: async () => {
      const api = batch();
      for (const back of await Promise.all(Array.from({ length: calls }, () => api.echo(books)))) check(back);
    },
    usage: () => batch().usage(),
    calls,
  };
}

function check(back) {
  if (back.name !== books.name) throw new Error(`echo gave ${JSON.stringify(back)}`);
}

// run keeps inFlight steps going for a while and returns how long each took, in µs.
async function run(step, seconds) {
  const took = [];
  const end = performance.now() + seconds * 1000;
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (let began = performance.now(); began < end;) {
      await step();
      const now = performance.now();
      took.push((now - began) * 1000);
      began = now;
    }
  }));
  return took;
}

function ownUsage() {
  const { user, system } = process.cpuUsage();
  return { cpu: user + system };
}

const { step, usage, calls } = medium === "ws" ? overWebSocket() : overBatches();
await run(step, warmUp);
const server = [await usage()], client = [ownUsage()];
const began = performance.now();
const took = await run(step, seconds);
const elapsed = (performance.now() - began) / 1000;
client.push(ownUsage());
server.push(await usage());
took.sort((a, b) => a - b);
const quantile = q => took[Math.floor((took.length - 1) * q)];
console.log(JSON.stringify({
  calls: took.length * calls, seconds: elapsed, p50: quantile(0.5), p99: quantile(0.99), client, server,
}));
process.exit(0);
