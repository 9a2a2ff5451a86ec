// Bundles modules of the library for tests in Node.js, which does not read TypeScript.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'src');

/** Returns the exports of several modules of src, which share what they import. */
export function load(...names) {
  return bundled(names.map((name) => `export * from './${name}.ts';`).join('\n'));
}

/** Returns the exports of a module that is written in src. */
export async function bundled(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: source },
    bundle: true, write: false, format: 'esm', loader: { '.css': 'text' },
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`);
}
