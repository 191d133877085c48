// Bundles GraphiQL into ../bundle, which the Go package beside it embeds: index.html, licenses.txt, and assets/ with hashed
// names, each compressed with gzip. Browsers take gzip over plain HTTP; brotli they ask for over TLS only.
//
// GraphiQL 5, npm's latest: although its editor is Monaco, with three workers, all of it is 2.0 MB compressed. The majors
// before it, with CodeMirror, would be smaller, and of the past.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '..', 'bundle');

const common = {
  absWorkingDir: here,
  outdir: join(target, 'assets'),
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  format: 'esm',
  target: 'es2022',
  splitting: true,
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none', // licenses.txt has them whole
  logLevel: 'warning',
};

/** Monaco does its parsing in workers. The page learns their names, which hash what is in them. */
const workers = await build({
  ...common,
  entryPoints: {
    'editor.worker': 'monaco-editor/esm/vs/editor/editor.worker.js',
    'graphql.worker': 'monaco-graphql/esm/graphql.worker.js',
    'json.worker': 'monaco-editor/esm/vs/language/json/json.worker.js',
  },
});

const page = await build({
  ...common,
  entryPoints: ['src/page.js', 'src/icon.svg'],
  loader: { '.svg': 'copy' },
  define: { ...common.define, WORKERS: JSON.stringify(entriesOf(workers)) },
  plugins: [{ name: 'styles', setup: onlyGraphiQLsStyles }],
});

for (const old of ['index.html.gz', 'assets']) await rm(join(target, old), { recursive: true, force: true });
await mkdir(join(target, 'assets'), { recursive: true });
let bytes = 0;
for (const { path, contents } of [...workers.outputFiles, ...page.outputFiles]) await keep(join('assets', basename(path)), contents);
await keep('licenses.txt', await licenses());
await keep('index.html', await index()); // last: make takes it for the whole
console.log(`bundled GraphiQL: ${(bytes / 1e6).toFixed(2)} MB, compressed`);

/** Writes one file of the bundle. */
async function keep(name, contents) {
  const zipped = gzipSync(contents, { level: 9 });
  bytes += zipped.length;
  await writeFile(join(target, `${name}.gz`), zipped);
}

/** The output of each entry point, by the entry's name. */
function entriesOf({ metafile }) {
  const entries = Object.entries(metafile.outputs).filter(([, output]) => output.entryPoint);
  return Object.fromEntries(entries.map(([path]) => [basename(path).replace(/-[^-]*$/, ''), basename(path)]));
}

/**
 * GraphiQL's style sheet holds Monaco's, so that Monaco's own would be there twice, and has its fonts inside. They become
 * files: a browser loads those that it needs, and the page's policy need not allow data for fonts.
 */
function onlyGraphiQLsStyles({ onLoad, onResolve }) {
  const fonts = new Map();
  onLoad({ filter: /[\\/]monaco-editor[\\/].*\.css$/ }, () => ({ contents: '', loader: 'empty' }));
  onLoad({ filter: /[\\/]graphiql[\\/]dist[\\/]style\.css$/ }, async ({ path }) => {
    const sheet = await readFile(path, 'utf8');
    const contents = sheet.replace(/url\(data:font\/(\w+);base64,([^)]*)\)/g, (_, kind, data) => {
      const name = `font${fonts.size}.${kind}`;
      fonts.set(name, Buffer.from(data, 'base64'));
      return `url(inside:${name})`;
    });
    return { contents, loader: 'css' };
  });
  onResolve({ filter: /^inside:/ }, ({ path }) => ({ path: path.slice('inside:'.length), namespace: 'inside' }));
  onLoad({ filter: /.*/, namespace: 'inside' }, ({ path }) => ({ contents: fonts.get(path), loader: 'file' }));
}

/** The page, with the names of what it loads. */
async function index() {
  const names = page.outputFiles.map(({ path }) => basename(path));
  const text = await readFile(join(here, 'src', 'index.html'), 'utf8');
  return text.replace(/assets\/(\w+)(\.\w+)/g, (_, stem, kind) => {
    const name = names.find((n) => n.startsWith(`${stem}-`) && n.endsWith(kind));
    if (!name) throw new Error(`src/index.html names ${stem}${kind}, which is not in the bundle`);
    return `assets/${name}`;
  });
}

/** The licences of all packages that have a line in the bundle. */
async function licenses() {
  const inputs = [workers, page].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const folders = new Set(inputs.map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean));
  const texts = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(here, folder, 'package.json'), 'utf8'));
    texts.push(`${name} ${version} (${license})\n\n${await licenseIn(folder)}`);
  }
  return `GraphiQL, as this program serves it, is made of these packages, and of the fonts Roboto (Apache License 2.0) and\nFira Code (SIL Open Font License 1.1).\n\n${texts.join(`\n\n${'-'.repeat(72)}\n\n`)}`;
}

async function licenseIn(folder) {
  const texts = [];
  for (const name of ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'ThirdPartyNotices.txt']) {
    const text = await readFile(join(here, folder, name), 'utf8').catch(() => '');
    if (text) texts.push(text.trim());
  }
  return texts.join('\n\n') || 'It comes without the text of its license.';
}
