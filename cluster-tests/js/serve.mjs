// What every program here shares: it listens on loopback only, says where on its first line of stdout as JSON, and ends
// on SIGINT, on SIGTERM and, with --exit-with-stdin, when whoever started it is gone.
import { once } from 'node:events';

/** Listens and prints {"port": …, …extra(port)}. Resolves with the port. */
export async function listen(server, port, extra = () => ({})) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const got = server.address().port;
  console.log(JSON.stringify({ port: got, ...extra(got) }));
  return got;
}

export function exitWhenTold({ withStdin = false } = {}) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
  if (withStdin) process.stdin.on('end', () => process.exit(0)).resume();
}

/** The body of a request as JSON, at most 1 MiB. */
export async function readJSON(request) {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 1 << 20) throw new Error('body over 1 MiB');
  }
  return JSON.parse(text);
}
