// Holds every conversation, and prints for each a line of JSON with its name
// and transcript. With an argument, the relay of that path stands between.
import { Api, Talk, listen } from "./talk.mjs";
import { values } from "./values.mjs";
import { streams } from "./streams.mjs";
import { references } from "./references.mjs";
import { ends } from "./ends.mjs";
import { batches } from "./batches.mjs";

const { address, close } = await listen(process.argv[2]);
for (const [name, run] of Object.entries({ ...values, ...streams, ...references, ...ends, ...batches })) {
  const talk = new Talk(address, t => new Api(t));
  let timer;
  const late = new Promise(done => { timer = setTimeout(() => done(talk.say("this never ended")), 2000); });
  await Promise.race([late, converse(talk, run)]);
  clearTimeout(timer);
  for (const pair of talk.pairs) pair.client.ws.terminate();
  console.log(JSON.stringify({ name, transcript: await talk.transcript() }));
}
console.log(JSON.stringify({ name: "exit", transcript: await close() }));
process.exit(0);

async function converse(talk, run) {
  try {
    await run(talk);
  } catch (e) {
    await talk.say("it threw", e);
  }
  await talk.part();
}
