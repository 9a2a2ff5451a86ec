// Builds a page of the gateway into its dist: one script, one stylesheet, the icon, and the page that names them. All but
// the page carry a hash of their content in their names, so that the gateway may let browsers keep them for ever.
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Removes what an earlier build left, and keeps the placeholder that the gateway's embedding needs. */
async function clear(dist) {
  await mkdir(dist, { recursive: true });
  for (const name of await readdir(dist)) {
    if (name !== '.gitkeep') {
      await rm(path.join(dist, name), { recursive: true });
    }
  }
}

/** Bundles and returns where each entry went: {'src/main.js': 'assets/main-HASH.js', ...}. */
async function bundle(build, folder, options) {
  const result = await build({
    absWorkingDir: folder,
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
    logLevel: 'warning',
    ...options,
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
async function writePage(folder, names) {
  let page = await readFile(path.join(folder, 'src', 'index.html'), 'utf8');
  for (const [entry, name] of Object.entries(names)) {
    const reference = `"${path.posix.basename(entry)}"`;
    if (!page.includes(reference)) {
      throw new Error(`index.html does not refer to ${reference}`);
    }
    page = page.replaceAll(reference, `"${name}"`);
  }
  await writeFile(path.join(folder, 'dist', 'index.html'), page);
}

/**
 * Builds the page of a folder.
 *
 * @param {typeof import('esbuild').build} build of the folder's own esbuild
 * @param {string} folder
 * @param {import('esbuild').BuildOptions} options beside those of all pages
 */
export async function buildPage(build, folder, options) {
  await clear(path.join(folder, 'dist'));
  await writePage(folder, await bundle(build, folder, options));
}
