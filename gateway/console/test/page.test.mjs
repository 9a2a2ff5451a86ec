import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { points } from '../src/charts.js';
import { credentialOf, kept, keep, forget, sendable } from '../src/credential.js';
import { bytes, duration, length, percent } from '../src/format.js';
import { final } from '../src/feed.js';
import { History } from '../src/history.js';
import { checkLanguages } from '../../page/languages.check.mjs';
import { fill, LANGUAGES, languageOf } from '../src/texts.js';

checkLanguages(LANGUAGES);

test('what the page says before its script runs is its English', async () => {
  const page = await readFile(new URL('../src/index.html', import.meta.url), 'utf8');
  for (const kind of [/ data-text="(\w+)"[^>]*>([^<]+)</g, / aria-label="(?<text>[^"]*)" data-label="(?<key>\w+)"/g, / placeholder="(?<text>[^"]*)" data-placeholder="(?<key>\w+)"/g]) {
    const found = [...page.matchAll(kind)];
    assert.ok(found.length > 0, kind);
    for (const [, first, second] of found) {
      const [key, text] = kind.source.includes('data-text') ? [first, second] : [second, first];
      assert.equal(text, LANGUAGES.en.page[key], key);
    }
  }
});

test('every text is used', async () => {
  const sources = await Promise.all(['main.js', 'views.js', 'charts.js', 'index.html'].map((name) => readFile(new URL(`../src/${name}`, import.meta.url), 'utf8')));
  const all = sources.join('');
  for (const key of Object.keys(LANGUAGES.en.page)) {
    assert.match(all, new RegExp(`\\bt\\.${key}\\b|page\\.${key}\\b|"${key}"`), key);
  }
});

test('the first language that is there is taken', () => {
  assert.equal(languageOf(['de-AT', 'en']), 'de');
  assert.equal(languageOf(['constructor']), 'en');
  assert.equal(fill('{name}: {count}', { name: '{count} $& <b>', count: 2 }), '{count} $& <b>: 2');
});

test('durations, lengths, sizes and shares', () => {
  assert.deepEqual([-5, 0, 59, 60, 3599, 7200, 200_000].map(duration), ['0 s', '0 s', '59 s', '1 min', '59 min', '2 h', '2 d']);
  assert.deepEqual([5, 65, 3725].map(length), ['0:05', '1:05', '1:02:05']);
  assert.deepEqual([0, 900, 1536, 412_000_000].map(bytes), ['0 B', '900 B', '1.5 KiB', '393 MiB']);
  assert.deepEqual([percent(0, 0), percent(1, 3), percent(3, 3)], ['–', '33 %', '100 %']);
});

test('a credential is a header, and is kept for a while', () => {
  const stored = new Map();
  const storage = { setItem: (k, v) => stored.set(k, v), getItem: (k) => stored.get(k) ?? null, removeItem: (k) => stored.delete(k) };
  const password = credentialOf({ how: 'password', secret: 'pässword', namespace: 'ignored' }, 1000);
  assert.equal(password.namespace, '');
  assert.equal(Buffer.from(password.header.slice(6), 'base64').toString(), 'OPENVIDUAPP:pässword');
  const token = credentialOf({ how: 'token', secret: ' a.b.c\n', namespace: ' acme ' }, 1000);
  assert.deepEqual([token.header, token.namespace], ['Bearer a.b.c', 'acme']);
  assert.ok(sendable(token) && !sendable(credentialOf({ how: 'token', secret: 'ä', namespace: '' }, 0)));
  keep(token, storage);
  assert.deepEqual(kept(storage, 2000), token);
  assert.equal(kept(storage, token.until), null);
  forget(storage);
  assert.equal(kept(storage, 2000), null);
  for (const text of ['null', '{}', '{', '{"header":1,"until":9e99}']) {
    assert.equal(kept({ getItem: () => text }, 2000), null);
  }
});

test('a history has what was seen, and no more than a while of it', () => {
  const history = new History();
  for (let now = 0; now < 1000; now++) {
    history.add({ people: now }, now);
  }
  assert.equal(history.of('people').at(-1), 998);
  assert.equal(history.of('people').length, 300);
  assert.deepEqual(history.of('nothing'), []);
});

test('a line is inside its picture', () => {
  for (const values of [[0, 0], [1, 5, 3], [100, 0, 100]]) {
    for (const [x, y] of points(values)) {
      assert.ok(x >= 0 && x <= 120 && y >= 0 && y <= 32);
    }
  }
});

test('only what may change is asked for again', () => {
  assert.deepEqual([0, 401, 403, 404, 429, 503].map((status) => final({ status })), [false, true, true, true, false, false]);
});
