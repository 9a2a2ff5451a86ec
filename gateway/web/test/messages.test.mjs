import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callEnd, joinProblem, joinProblemOf, mediaProblem } from '../src/messages.js';

for (const [what, error, want] of [
  ['a used token', { code: 401, message: 'Token is not valid. Code: 401' }, 'refused-token'],
  ['an unknown room', { code: 202 }, 'unknown-room'],
  ['a closing room', { code: 203 }, 'closing-room'],
  ['a room without a place', { code: 204 }, 'no-capacity'],
  ['an old browser', { name: 'BROWSER_NOT_SUPPORTED' }, 'unsupported-browser'],
  ['a server that does not answer', { message: 'Request has timed out' }, 'timeout'],
  ['what this page found out itself', { problem: 'unreachable' }, 'unreachable'],
  ['anything else', new Error('boom'), 'unexpected'],
  ['nothing', undefined, 'unexpected'],
]) {
  test(`${what} is told apart`, () => assert.equal(joinProblemOf(error), want));
}

test('every problem of joining has a message of its own', () => {
  const kinds = ['no-token', 'malformed-token', 'insecure-token', 'refused-token', 'unknown-room', 'closing-room', 'no-capacity', 'unreachable', 'timeout', 'unsupported-browser', 'unexpected'];
  assert.equal(new Set(kinds.map((kind) => joinProblem(kind).title)).size, kinds.length);
  assert.equal(joinProblem('never heard of').title, joinProblem('unexpected').title);
});

test('every end of a call has a message', () => {
  for (const reason of ['disconnect', 'forceDisconnectByServer', 'forceDisconnectByUser', 'sessionClosedByServer', 'networkDisconnect', 'nodeCrashed', 'openviduServerStopped', '', 'somethingNew']) {
    const { title, text } = callEnd(reason);
    assert.ok(title && text, reason);
  }
});

test('every problem of devices has a message, and none has none', () => {
  const kinds = [undefined, 'insecure', 'denied', 'absent', 'busy'];
  for (const microphone of kinds) {
    for (const camera of kinds) {
      const text = mediaProblem({ microphone, camera });
      assert.equal(typeof text, 'string');
      assert.equal(text === '', !microphone && !camera, `${microphone} ${camera}`);
    }
  }
});
