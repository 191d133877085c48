// Runs the audits of npm's graphql-http against a server, and prints those that it does not pass.
//
//   node audit.mjs http://HOST:PORT/graphql
import { serverAudits } from 'graphql-http';

const audits = serverAudits({ url: process.argv[2] });
const failed = [];
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== 'ok') failed.push({ name: audit.name, reason: result.reason });
}
console.log(JSON.stringify({ count: audits.length, failed }));
