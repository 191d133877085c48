// How conversations end, as both sides see it.
import { RpcTarget } from "capnweb";
import { Counter } from "./talk.mjs";

// ended ends a conversation in which calls wait, and says what all learn of it.
async function ended(t, how) {
  const pair = await t.connect();
  const { api, client, server } = pair;
  const counter = await api.counter(1);
  let release;
  const waiting = api.call(() => new Promise(done => { release = done; }));
  await api.keep(new Counter(t, 2, "client"));
  api.onRpcBroken(e => t.say("main broke:", e));
  counter.onRpcBroken(e => t.say("counter broke:", e));
  server.session.getRemoteMain().onRpcBroken(e => t.hear("main broke:", e));
  while (!release) await new Promise(r => setTimeout(r, 1));
  how({ api, client, server });
  await t.outcome("the call that waits", waiting);
  await t.outcome("a call too late", () => api.add(1, 2));
  await t.outcome("a call to the counter", () => counter.add(1));
  const [atClient, atServer] = await pair.closed();
  await t.say("closed:", atClient);
  await t.hear("closed:", atServer);
}

export const ends = {
  clientIsCut: t => ended(t, ({ client }) => client.ws.terminate()),
  serverIsCut: t => ended(t, ({ server }) => server.ws.terminate()),
  clientCloses: t => ended(t, ({ client }) => client.ws.close(1000)),
  clientClosesWithoutACode: t => ended(t, ({ client }) => client.ws.close()),
  clientClosesWithItsOwn: t => ended(t, ({ client }) => client.ws.close(4001, "going home é")),
  serverCloses: t => ended(t, ({ server }) => server.ws.close(1001, "shutting down")),
  serverClosesWithItsOwn: t => ended(t, ({ server }) => server.ws.close(4999)),
  clientDisposesOfMain: t => ended(t, ({ api }) => api[Symbol.dispose]()),
  serverDisposesOfMain: t => ended(t, ({ server }) => server.session.getRemoteMain()[Symbol.dispose]()),
  clientAborts: t => ended(t, ({ client }) => client.ws.send(JSON.stringify(["abort", ["error", "RangeError", "I give up", null, { code: "G" }]]))),
  serverAborts: t => ended(t, ({ server }) => server.ws.send(JSON.stringify(["abort", ["error", "TypeError", "the server gives up"]]))),
  serverAbortsWithAText: t => ended(t, ({ server }) => server.ws.send(JSON.stringify(["abort", "just a text"]))),
  unknownMessage: t => ended(t, ({ client }) => client.ws.send('["not a message"]')),
  notJSON: t => ended(t, ({ client }) => client.ws.send("{")),
  unknownExport: t => ended(t, ({ client }) => client.ws.send('["push",["pipeline",77,["x"],[]]]')),
  binary: t => ended(t, ({ client }) => client.ws.send(Buffer.from([1, 2, 3]))),

  async serverIsGone(t) {
    class Quiet extends RpcTarget { never() { return new Promise(() => {}); } }
    const pair = await t.connect({ main: new Quiet() });
    const all = [pair.api.never(), pair.api.never().a.b(1), pair.api.never()];
    pair.server.ws.terminate();
    for (const [i, p] of all.entries()) await t.outcome(`call ${i}`, p);
    await t.say("closed:", await pair.client.closed);
  },
  async lastWords(t) {
    const pair = await t.connect();
    const noted = t.outcome("noted", pair.api.note("the last"));
    await noted;
    pair.api.note("without an answer");
    pair.client.ws.close(1000);
    await t.say("closed:", await pair.closed());
  },
};
