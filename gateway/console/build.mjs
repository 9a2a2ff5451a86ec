// Builds the console into dist: one script, one stylesheet, the icon, and the page that names them. All but the page
// carry a hash of their content in their names, so that the gateway may let browsers keep them for ever.
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const source = path.join(here, 'src');
const dist = path.join(here, 'dist');

/** Removes what an earlier build left, and keeps the placeholder that the gateway's embedding needs. */
async function clear() {
  await mkdir(dist, { recursive: true });
  for (const name of await readdir(dist)) {
    if (name !== '.gitkeep') {
      await rm(path.join(dist, name), { recursive: true });
    }
  }
}

/** Bundles and returns where each entry went: {'src/main.js': 'assets/main-HASH.js', ...}. */
async function bundle() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: ['src/main.js', 'src/page.css', 'src/icon.svg'],
    outdir: 'dist/assets',
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    metafile: true,
    format: 'iife',
    platform: 'browser',
    target: ['chrome109', 'firefox115', 'safari15.4'],
    loader: { '.svg': 'copy' },
    legalComments: 'none',
    logLevel: 'warning',
  });
  const names = {};
  for (const [output, { entryPoint }] of Object.entries(result.metafile.outputs)) {
    if (entryPoint) {
      names[entryPoint] = path.posix.relative('dist', output);
    }
  }
  return names;
}

/** Writes the page last: it stands for the whole build. */
async function writePage(names) {
  let page = await readFile(path.join(source, 'index.html'), 'utf8');
  for (const [entry, name] of Object.entries(names)) {
    const reference = `"${path.posix.basename(entry)}"`;
    if (!page.includes(reference)) {
      throw new Error(`index.html does not refer to ${reference}`);
    }
    page = page.replaceAll(reference, `"${name}"`);
  }
  await writeFile(path.join(dist, 'index.html'), page);
}

await clear();
await writePage(await bundle());
