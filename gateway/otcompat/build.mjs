// Builds the library into dist: opentok.min.js is for script elements and sets OT and TB, opentok.mjs is for bundlers,
// opentok.d.ts has the types of both.
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const banner = `/* Mediarooms' library for applications written for the OpenTok.js v2 API. Apache-2.0.
   Not affiliated with, or endorsed by, the vendor of OpenTok. */`;

const folder = path.dirname(fileURLToPath(import.meta.url));
const options = {
  absWorkingDir: folder,
  bundle: true,
  minify: true,
  platform: 'browser',
  target: ['chrome109', 'firefox115', 'safari16.4'],
  loader: { '.css': 'text' },
  banner: { js: banner },
  legalComments: 'none',
  logLevel: 'warning',
};
await build({ ...options, entryPoints: ['src/global.ts'], format: 'iife', outfile: 'dist/opentok.min.js' });
await copyFile(path.join(folder, 'src/opentok.d.ts'), path.join(folder, 'dist/opentok.d.ts'));
await build({ ...options, entryPoints: ['src/module.ts'], format: 'esm', outfile: 'dist/opentok.mjs' });
