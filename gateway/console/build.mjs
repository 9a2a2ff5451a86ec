// Builds the console into dist.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildPage } from '../page/bundle.mjs';

await buildPage(build, fileURLToPath(new URL('.', import.meta.url)), { legalComments: 'none' });
