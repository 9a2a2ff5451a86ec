import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './library.mjs';

const {
  Emitter, OTEvent, ConnectionEvent, SessionDisconnectEvent, SignalEvent, StreamEvent, Connection, Stream, Collection, capabilitiesOf,
  OTError, asError, settle, split, twin,
} = await load('emitter', 'events', 'model', 'errors', 'twin');

const connection = new Connection({ id: 'con_A', createdAt: 1700000000000, data: 'Anna', streams: [] });
const stream = new Stream({ id: 'str_1', createdAt: 5, hasAudio: true, hasVideo: false, name: 'camera', initials: 'A' }, connection);

test('ConnectionEvent', () => {
  const created = new ConnectionEvent('connectionCreated', connection);
  assert.equal(created.type, 'connectionCreated');
  assert.equal(created.connection, connection);
  assert.deepEqual(created.connections, [connection]);
  assert.equal(created.reason, undefined);
  assert.equal(created.cancelable, false);
  assert.equal(created.isDefaultPrevented(), false);
  created.preventDefault();
  assert.equal(created.isDefaultPrevented(), true);
  for (const reason of ['clientDisconnected', 'forceDisconnected', 'networkDisconnected']) {
    const destroyed = new ConnectionEvent('connectionDestroyed', connection, reason);
    assert.equal(destroyed.reason, reason);
    assert.equal(destroyed.isDefaultPrevented(), false);
  }
});

test('only ends of streams and sessions can be prevented', () => {
  assert.equal(new StreamEvent('streamCreated', stream).cancelable, false);
  assert.equal(new StreamEvent('streamDestroyed', stream, 'clientDisconnected').cancelable, true);
  assert.equal(new SessionDisconnectEvent('clientDisconnected').cancelable, true);
});

test('the target is who tells, unless another one is named', () => {
  const emitter = new Emitter();
  const event = new OTEvent('a');
  emitter.dispatch(event);
  assert.equal(event.target, emitter);
});

test('a signal has the prefix in its type, and null for the server', () => {
  const typed = new SignalEvent('chat', 'hello', connection);
  assert.deepEqual([typed.type, typed.data, typed.from], ['signal:chat', 'hello', connection]);
  const plain = new SignalEvent(undefined, undefined, null);
  assert.deepEqual([plain.type, plain.data, plain.from], ['signal', undefined, null]);
});

test('connections and streams have the names that applications know', () => {
  assert.deepEqual([connection.connectionId, connection.id, connection.creationTime, connection.data], ['con_A', 'con_A', 1700000000000, 'Anna']);
  assert.deepEqual([stream.streamId, stream.id, stream.name, stream.hasAudio, stream.hasVideo], ['str_1', 'str_1', 'camera', true, false]);
  assert.deepEqual(stream.videoDimensions, { width: 0, height: 0 });
});

test('capabilities are numbers', () => {
  const all = (role) => Object.values(capabilitiesOf(role));
  assert.deepEqual(all('subscriber'), [0, 1, 0, 0, 0]);
  assert.deepEqual(all('publisher'), [1, 1, 0, 0, 0]);
  assert.deepEqual(all('publisheronly'), [1, 0, 0, 0, 0]);
  assert.deepEqual(all('moderator'), [1, 1, 1, 1, 1]);
});

test('collections find by id, by properties and by function', () => {
  const collection = new Collection();
  collection.set('1', { name: 'one', odd: true });
  collection.set('2', { name: 'two', odd: false });
  collection.set('3', { name: 'three', odd: true });
  assert.equal(collection.length(), 3);
  assert.equal(collection.find().name, 'one');
  assert.equal(collection.find({ odd: false }).name, 'two');
  assert.equal(collection.where((one) => one.odd).length, 2);
  assert.equal(collection.find({ name: 'four' }), undefined);
  collection.remove('1');
  const names = [];
  collection.forEach((one) => names.push(one.name));
  assert.deepEqual(names, ['two', 'three']);
});

test('failures of the browser have names that applications know', () => {
  for (const [name, want] of Object.entries({
    NotAllowedError: 'OT_USER_MEDIA_ACCESS_DENIED', NotReadableError: 'OT_HARDWARE_UNAVAILABLE', NotFoundError: 'OT_NO_DEVICES_FOUND',
    OverconstrainedError: 'OT_CONSTRAINTS_NOT_SATISFIED', Strange: 'OT_TIMEOUT',
  })) {
    const error = asError(Object.assign(new Error('text'), { name }), 'OT_TIMEOUT');
    assert.deepEqual([error.name, error.message, error instanceof OTError], [want, 'text', true]);
  }
  assert.equal(new OTError('OT_NOT_CONNECTED', '').code, 1010);
  assert.equal(new OTError('OT_SOMETHING', '').code, 2000);
});

test('callbacks and promises say the same', async () => {
  const method = twin((value, callback) => {
    settle(value ? Promise.resolve(value) : Promise.reject(new OTError('OT_INVALID_PARAMETER', 'no value')), callback);
    return 'returned';
  });
  assert.equal(method(1), 'returned');
  assert.equal(await method.promise(1), 1);
  await assert.rejects(method.promise(0), { name: 'OT_INVALID_PARAMETER' });
  const [error, result] = await new Promise((resolve) => method(2, (...told) => resolve(told)));
  assert.deepEqual([error, result], [undefined, 2]);
});

test('a callback is found wherever it is', () => {
  const call = () => {};
  assert.deepEqual(split(['target', { a: 1 }, call]), { callback: call, rest: ['target', { a: 1 }] });
  assert.deepEqual(split([call]), { callback: call, rest: [] });
  assert.deepEqual(split([]), { callback: undefined, rest: [] });
});
