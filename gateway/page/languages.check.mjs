// What holds of the texts of every page.
import assert from 'node:assert/strict';
import { test } from 'node:test';

/** Every text of a language with the path of its keys. */
function paths(value, path = '') {
  if (typeof value === 'string') {
    return [[path, value]];
  }
  return Object.entries(value).flatMap(([key, inner]) => paths(inner, `${path}/${key}`));
}

const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort().join();

/** Tests that each language has the texts of English, with the same values in them. */
export function checkLanguages(languages) {
  const english = paths(languages.en);
  for (const [language, texts] of Object.entries(languages)) {
    test(`${language} has every text of English, with the same values in it`, () => {
      const theirs = new Map(paths(texts));
      assert.deepEqual([...theirs.keys()], english.map(([path]) => path));
      for (const [path, text] of english) {
        assert.ok(theirs.get(path).trim(), path);
        assert.equal(placeholders(theirs.get(path)), placeholders(text), path);
      }
    });
  }
}
