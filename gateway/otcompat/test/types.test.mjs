// Applications in TypeScript compile with the types that the gateway serves.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = fileURLToPath(new URL('..', import.meta.url));
const types = path.join(folder, 'src/opentok.d.ts');

/** Compiles files as applications do, and fails with what the compiler says. */
async function compile(...files) {
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--types', '', '--ignoreConfig'];
  const tsc = path.join(folder, 'node_modules/.bin/tsc');
  await promisify(execFile)(tsc, [...options, types, ...files], { cwd: folder }).catch((failure) => assert.fail(failure.stdout || failure));
}

test('applications compile', () => compile('test/types/script.ts', 'test/types/module.ts'));

test('what docs/opentok-browser.md names has a type', async () => {
  const text = await readFile(new URL('../../../docs/opentok-browser.md', import.meta.url), 'utf8');
  const lines = ['declare const Session: OT.Session, Publisher: OT.Publisher, Subscriber: OT.Subscriber;'];
  for (const [, owner, rows] of text.matchAll(/\| `(\w+)` \| support \|\n\|---\|---\|\n((?:\|.*\n)+)/g)) {
    lines.push(...[...rows.matchAll(/^\| `(\w+)` \|/gm)].map(([, member]) => `void ${owner}.${member};`));
  }
  assert.ok(lines.length > 80, `${lines.length} members`);
  const temporary = await mkdtemp(path.join(tmpdir(), 'types-'));
  try {
    await writeFile(path.join(temporary, 'members.ts'), lines.join('\n'));
    await compile(path.join(temporary, 'members.ts'));
  } finally {
    await rm(temporary, { recursive: true });
  }
});
