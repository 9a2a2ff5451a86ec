import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readInvitation, takeInvitation } from '../src/invitation.js';

const page = { protocol: 'http:', host: 'localhost:4443' };
const token = 'ws://localhost:4443?sessionId=demo&token=tok_Abc123';

test('a token is read as it is', () => {
  assert.deepEqual(readInvitation(token, page), { token: `ws://localhost:4443?sessionId=demo&token=tok_Abc123`, session: 'demo', host: 'localhost:4443', elsewhere: false });
});

test('a link with a token in its fragment is read, encoded or not', () => {
  assert.equal(readInvitation(`http://localhost:4443/#token=${encodeURIComponent(token)}`, page).token, token);
  assert.equal(readInvitation(`http://localhost:4443/#token=${token}`, page).token, token);
});

test('the fragment counts before the query', () => {
  assert.equal(readInvitation(`http://localhost:4443/?token=tok_Old#token=${encodeURIComponent(token)}`, page).token, token);
});

test('a link of before, with an encoded token in its query, is read, and spaces around it do not count', () => {
  const read = readInvitation(`  http://localhost:4443/?token=${encodeURIComponent(token)}\n`, page);
  assert.equal(read.token, token);
});

test('a link of before with a token that was not encoded is read', () => {
  assert.equal(readInvitation(`http://localhost:4443/?token=${token}`, page).token, token);
});

test('a session of another tenant and another host are recognised', () => {
  const read = readInvitation('wss://rooms.example.org?sessionId=team.A_b-c&token=tok_X', page);
  assert.equal(read.session, 'team.A_b-c');
  assert.equal(read.elsewhere, true);
});

test('parameters that switch on features of the client are dropped', () => {
  assert.equal(readInvitation(`${token}&recorder=true&secret=x&edition=pro`, page).token, token);
});

for (const [what, text] of [
  ['nothing', ''],
  ['only spaces', ' \n'],
]) {
  test(`${what} is no token`, () => assert.equal(readInvitation(text, page).problem, 'no-token'));
}

for (const [what, text] of [
  ['a word', 'hello'],
  ['a bare secret', 'tok_Abc123'],
  ['a link without a token', 'http://localhost:4443/'],
  ['a link with a fragment without a token', 'http://localhost:4443/#top'],
  ['a token without its secret', 'ws://localhost:4443?sessionId=demo'],
  ['a token with an empty secret', 'ws://localhost:4443?sessionId=demo&token='],
  ['a token without a session', 'ws://localhost:4443?token=tok_X'],
  ['another scheme', 'javascript:alert(1)?sessionId=demo&token=tok_X'],
  ['a host with user information', 'ws://user@host?sessionId=demo&token=tok_X'],
  ['an IPv6 literal, which the client does not take', 'ws://[::1]:4443?sessionId=demo&token=tok_X'],
  ['a value with a =, which the client cuts', 'ws://h?sessionId=a=b&token=tok_X'],
  ['a port that is none', 'ws://h:99999?sessionId=demo&token=tok_X'],
  ['something endless', `ws://h?sessionId=demo&token=${'x'.repeat(5000)}`],
]) {
  test(`${what} is malformed`, () => assert.equal(readInvitation(text, page).problem, 'malformed-token'));
}

test('an encrypted page can not use an unencrypted token', () => {
  assert.equal(readInvitation(token, { protocol: 'https:', host: 'localhost:4443' }).problem, 'insecure-token');
});

test('the address loses its token and keeps everything else', () => {
  assert.deepEqual(takeInvitation(`https://h/?a=1&token=${encodeURIComponent(token)}&b=2`), { text: token, rest: '/?a=1&b=2' });
  assert.deepEqual(takeInvitation(`https://h/?a=1#token=${encodeURIComponent(token)}`), { text: token, rest: '/?a=1' });
  assert.deepEqual(takeInvitation(`https://h/?token=tok_Old&a=1#token=${encodeURIComponent(token)}`), { text: token, rest: '/?a=1' });
  assert.deepEqual(takeInvitation('https://h/?a=1'), { text: null, rest: '/?a=1' });
});

test('the address loses the parts of a token that was not encoded', () => {
  for (const link of [`https://h/?token=${token}`, `https://h/#token=${token}`]) {
    const { text, rest } = takeInvitation(link);
    assert.equal(readInvitation(text, page).token, token);
    assert.equal(rest, '/');
  }
});
