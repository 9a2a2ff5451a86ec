import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guard, redact, redactValue } from '../src/redact.js';

const join = '{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"ws://h?sessionId=demo&token=tok_Secret1"},"id":1}';
const connect = '{"jsonrpc":"2.0","method":"connect","params":{"sessionId":"Private1","reconnect":true},"id":2}';

test('no token and no private session id is left in a request', () => {
  for (const text of [join, connect, JSON.stringify(join), JSON.stringify(connect), 'Could not connect to ws://h?token=tok_Secret1', 'http://h/#token=Secret1']) {
    assert.doesNotMatch(redact(text), /Secret1|Private1/);
  }
});

test('what is no secret stays', () => {
  assert.equal(redact('WebSocket connected to ws://h/openvidu?sessionId=demo'), 'WebSocket connected to ws://h/openvidu?sessionId=demo');
});

test('errors and objects are written without their content', () => {
  const error = Object.assign(new Error(`Request has timed out ${join}`), { request: join });
  assert.doesNotMatch(String(redactValue(error)), /Secret1/);
  assert.equal(redactValue({ type: 'error', token: 'tok_Secret1' }), '[error]');
  assert.equal(redactValue({ anything: 'tok_Secret1' }), '[object Object]');
  assert.equal(redactValue(7), 7);
});

test('a guarded console writes nothing secret', () => {
  const written = [];
  const console = Object.fromEntries(['debug', 'log', 'info', 'warn', 'error'].map((method) => [method, (...values) => written.push(...values)]));
  guard(console);
  for (const method of Object.keys(console)) {
    console[method](method, join, { request: join });
  }
  assert.equal(written.length, 15);
  assert.doesNotMatch(JSON.stringify(written), /Secret1/);
});
