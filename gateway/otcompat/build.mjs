// Builds the library into dist: opentok.min.js is for script elements and sets OT and TB, opentok.mjs is for bundlers.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const banner = `/* Mediarooms' library for applications written for the OpenTok.js v2 API. Apache-2.0.
   Not affiliated with, or endorsed by, the vendor of OpenTok. */`;

const options = {
  absWorkingDir: path.dirname(fileURLToPath(import.meta.url)),
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
await build({ ...options, entryPoints: ['src/ot.ts'], format: 'esm', outfile: 'dist/opentok.mjs' });
