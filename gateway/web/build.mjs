// Builds the room page into dist.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildPage } from '../page/bundle.mjs';

await buildPage(build, fileURLToPath(new URL('.', import.meta.url)), {
  // openvidu-browser expects it, as webpack 4 and browserify gave it.
  define: { global: 'globalThis' },
  legalComments: 'linked',
});
