import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { checkLanguages } from '../../page/languages.check.mjs';
import { fill, LANGUAGES, languageOf } from '../src/texts.js';

checkLanguages(LANGUAGES);

test('what the page says before its script runs is its English', async () => {
  const page = await readFile(new URL('../src/index.html', import.meta.url), 'utf8');
  const kinds = [/ aria-label="([^"]*)" data-label="(\w+)"/g, / title="([^"]*)" data-tip="(\w+)"/g, / placeholder="([^"]*)" data-placeholder="(\w+)"/g, / data-text="(\w+)">([^<]*)</g];
  for (const kind of kinds) {
    const found = [...page.matchAll(kind)];
    assert.ok(found.length > 0, kind);
    for (const [, first, second] of found) {
      const [key, text] = kind.source.includes('data-text') ? [first, second] : [second, first];
      assert.equal(text, LANGUAGES.en.page[key], key);
    }
  }
  assert.equal([...page.matchAll(/ data-(text|label|tip|placeholder)=/g)].length, kinds.reduce((sum, kind) => sum + [...page.matchAll(kind)].length, 0));
});

test('the first language that is there is taken', () => {
  assert.equal(languageOf(['de-AT', 'en']), 'de');
  assert.equal(languageOf(['tlh', 'EN-GB', 'de']), 'en');
  assert.equal(languageOf(['constructor']), 'en');
  assert.equal(languageOf([]), 'en');
});

test('values are filled in as they are', () => {
  assert.equal(fill('{name}: {count}', { name: '{count} $& <b>', count: 2 }), '{count} $& <b>: 2');
});
