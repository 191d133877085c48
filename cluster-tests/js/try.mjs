// What the README's tour needs beside catalyst itself: the gateway and two services, until ctrl-C.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const peers = [
  { name: 'gateway', program: 'gateway.mjs', flags: ['--port', '4000'], graphql: 'http://127.0.0.1:4000/graphql' },
  { name: 'books', program: 'service.mjs', flags: ['--kind', 'books', '--port', '4101'], graphql: 'http://127.0.0.1:4101/graphql' },
  { name: 'pokemon', program: 'service.mjs', flags: ['--kind', 'pokemon', '--port', '4102'], graphql: 'http://127.0.0.1:4102/graphql' },
];

const children = peers.map(({ program, flags }) =>
  spawn(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...flags, '--exit-with-stdin'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  }),
);

function end(status) {
  for (const child of children) child.kill();
  process.exit(status);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => end(0));
const listening = children.map((child, i) => {
  child.on('exit', (status) => {
    console.error(`${peers[i].name} ended with status ${status}`);
    end(1);
  });
  return new Promise((resolve) => child.stdout.once('data', resolve));
});

await Promise.all(listening);
for (const { name, graphql } of peers) console.log(`${name.padEnd(8)} ${graphql}`);
console.log('catalyst reaches the gateway at ws://localhost:4000/api, its default. ctrl-C ends all three.');
