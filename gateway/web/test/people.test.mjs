import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientData, colour, displayName, initials } from '../src/people.js';

test('the name that this page sends is the name that it shows', () => {
  assert.equal(displayName(JSON.stringify(clientData('  Ada   Lovelace '))), 'Ada Lovelace');
});

for (const [what, data, want] of [
  ['what OpenVidu\'s examples send', '{"clientData":"Ada"}%/%{"serverData":"x"}', 'Ada'],
  ['the server\'s data when the client has no name', '{}%/%{"name":"Grace"}', 'Grace'],
  ['the server\'s data, whatever the client calls itself', '{"clientData":"The teacher"}%/%{"name":"Mallory"}', 'Mallory'],
  ['the server\'s data, whatever the client writes', 'The teacher%/%{"clientData":"Mallory"}', 'Mallory'],
  ['the client\'s data when the server\'s is no name', 'Alan%/%server', 'Alan'],
  ['the server\'s data alone', '%/%{"serverData":"x"}', 'x'],
  ['plain text', 'Edsger', 'Edsger'],
  ['plain text of the server', '%/%Barbara', 'Barbara'],
  ['nothing', '', 'Guest'],
  ['no data at all', undefined, 'Guest'],
  ['null', 'null', 'Guest'],
  ['an object without a name', '{"a":{"b":1}}', 'Guest'],
  ['a name that is only spaces', '{"clientData":"   "}', 'Guest'],
  ['a name that turns the direction of writing', '{"clientData":"Ada\u202e evil"}', 'Ada evil'],
]) {
  test(`a name is found in ${what}`, () => assert.equal(displayName(data), want));
}

test('an endless name is cut between characters', () => {
  assert.equal([...displayName('😀'.repeat(500))].length, 60);
});

test('initials', () => {
  for (const [name, want] of [['Ada', 'A'], ['Ada Lovelace', 'AL'], ['ada king lovelace', 'AL'], ['élise-ünal', 'ÉÜ'], ['(Ada)', 'A'], ['😀', '?'], ['', '?']]) {
    assert.equal(initials(name), want, name);
  }
});

test('a colour stays the same and is within its range', () => {
  assert.equal(colour('con_A1b2C3d4E5', 8), colour('con_A1b2C3d4E5', 8));
  for (const id of ['', 'a', 'con_Zzzzzzzzzz', '😀']) {
    assert.ok(colour(id, 8) >= 0 && colour(id, 8) < 8);
  }
});
