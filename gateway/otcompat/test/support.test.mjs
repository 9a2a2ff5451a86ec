// The tables of docs/opentok-browser.md say what the library has.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { bundled, load } from './library.mjs';

const OT = await load('ot');
const text = await readFile(new URL('../../../docs/opentok-browser.md', import.meta.url), 'utf8');

/** Returns the rows of the table whose first column has a name: member -> support. */
function table(name) {
  const [, rows] = text.match(new RegExp(`\\| \`${name}\` \\| support \\|\\n\\|---\\|---\\|\\n((?:\\|.*\\n)+)`)) ?? [];
  assert.ok(rows, `no table of ${name}`);
  return new Map([...rows.matchAll(/^\| `(\w+)` \| (yes|rejected|stub) \|$/gm)].map(([, member, support]) => [member, support]));
}

const session = OT.initSession('key', 'session');
const owners = {
  OT: OT, Session: session, Publisher: OT.Publisher.prototype, Subscriber: OT.Subscriber.prototype,
};

for (const [name, owner] of Object.entries(owners)) {
  test(`${name} has what the table says`, async () => {
    const rows = table(name);
    assert.ok(rows.size > 10);
    for (const [member, support] of rows) {
      assert.ok(member in owner, `${name}.${member} is missing`);
      if (support === 'rejected') {
        await assert.rejects(owner[member](), { name: 'OT_NOT_SUPPORTED' });
      }
    }
  });
}

test('what is not supported is in a table', () => {
  for (const name of ['Publisher', 'Subscriber']) {
    for (const [member, { value }] of Object.entries(Object.getOwnPropertyDescriptors(owners[name]))) {
      if (member !== 'constructor' && typeof value === 'function' && value.toString().includes('notSupported(')) {
        assert.equal(table(name).get(member), 'rejected', `${name}.${member}`);
      }
    }
  }
});

test('there is one session for each key and id', () => {
  assert.equal(OT.initSession('key', 'session'), session);
  assert.notEqual(OT.initSession('key', 'other'), session);
  assert.deepEqual([session.sessionId, session.id, session.apiKey, session.isConnected()], ['session', 'session', 'key', false]);
  assert.equal(session.capabilities, undefined);
});

test('the module has all names, and the namespace as its default', async () => {
  const { named, namespace } = await bundled("export * as named from './ot.ts'; export { default as namespace } from './module.ts';");
  assert.deepEqual({ ...namespace }, { ...named });
  const { names } = await bundled("export * as names from './module.ts';");
  assert.deepEqual(Object.keys(names).sort(), [...Object.keys(named), 'default'].sort());
});
