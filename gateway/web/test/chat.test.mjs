import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chatData, chatText } from '../src/chat.js';

test('what is written arrives as it was', () => {
  for (const text of ['Hello', 'two\nlines', '{"message": 1}', '<b>not bold</b>', '李飞飞 👋']) {
    assert.equal(chatText(chatData(text, 'Ada')), text);
  }
});

test('data is as in OpenVidu’s applications', () => {
  assert.deepEqual(JSON.parse(chatData(' Hi ', 'Ada')), { message: 'Hi', nickname: 'Ada' });
});

test('what others write is a text or nothing', () => {
  assert.equal(chatText('Hi'), 'Hi');
  assert.equal(chatText('42'), '42');
  assert.equal(chatText('null'), 'null');
  for (const data of [undefined, '', ' ', '{}', '{"message":7}', '{"message":null}', '[]', '{"message":"\\u0000"}']) {
    assert.equal(chatText(data), '', data);
  }
});

test('characters that disturb what is around are taken out, and a message has an end', () => {
  assert.equal(chatText('a\u202eb\u0007c\r\nd'), 'a b c\nd');
  assert.equal(chatText('x'.repeat(5000)).length, 2000);
});
