import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './library.mjs';

const { Emitter, OTEvent } = await load('emitter', 'events');

/** Returns what of the named events reaches a log. */
function logged() {
  const emitter = new Emitter();
  const log = [];
  return { emitter, log, write: (word) => (event) => log.push(`${word} ${event.type}`), tell: (type) => emitter.dispatch(new OTEvent(type)) };
}

test('one handler, several names, and a map', () => {
  const { emitter, log, write, tell } = logged();
  const chained = emitter.on('a', write('one')).on(' a  b ', write('list')).on({ b: write('map'), 'c d': write('map') });
  ['a', 'b', 'c', 'd', 'e'].forEach(tell);
  assert.equal(chained, emitter);
  assert.deepEqual(log, ['one a', 'list a', 'list b', 'map b', 'map c', 'map d']);
});

test('once is for one event of each name', () => {
  const { emitter, log, write, tell } = logged();
  emitter.once('a b', write('once')).once({ a: write('map') });
  ['a', 'a', 'b', 'b'].forEach(tell);
  assert.deepEqual(log, ['once a', 'map a', 'once b']);
});

test('off ends all, a name, a handler, a context, or a map', () => {
  const { emitter, log, write, tell } = logged();
  const one = write('one');
  const here = {}, there = {};
  emitter.on('a b', one).on('a', one, here).on('a', one, there).on('b', write('other'));
  emitter.off('a', one, here);
  tell('a');
  assert.deepEqual(log.splice(0), ['one a', 'one a']);
  emitter.off({ a: one }, there);
  tell('a');
  assert.deepEqual(log.splice(0), ['one a']);
  emitter.off('a b', one);
  ['a', 'b'].forEach(tell);
  assert.deepEqual(log.splice(0), ['other b']);
  emitter.off('b').on('a', one);
  assert.equal(emitter.off(), emitter);
  ['a', 'b'].forEach(tell);
  assert.deepEqual(log, []);
});

test('the old names of on and off', () => {
  const { emitter, log, write, tell } = logged();
  const one = write('one');
  emitter.addEventListener('a', one);
  tell('a');
  emitter.removeEventListener('a', one);
  tell('a');
  assert.deepEqual(log, ['one a']);
});

test('a context is this, without one it is the emitter', () => {
  const emitter = new Emitter();
  const seen = [];
  const look = function () { seen.push(this); };
  const context = {};
  emitter.on('a', look, context).on('a', look).on({ a: look }, context);
  emitter.dispatch(new OTEvent('a'));
  assert.deepEqual(seen, [context, emitter, context]);
});

test('a handler that throws keeps nobody from being called', (t) => {
  const said = t.mock.method(console, 'error', () => {});
  const { emitter, log, write, tell } = logged();
  emitter.on('a', () => { throw new Error('mistake'); }).on('a', write('next'));
  tell('a');
  assert.deepEqual(log, ['next a']);
  assert.equal(said.mock.callCount(), 1);
});

test('handlers may be added and ended by a handler', () => {
  const { emitter, log, write, tell } = logged();
  emitter.on('a', () => emitter.off('a').on('a', write('new'))).on('a', write('old'));
  tell('a');
  assert.deepEqual(log.splice(0), ['old a']);
  tell('a');
  assert.deepEqual(log, ['new a']);
});

test('the default action comes after all handlers, unless it is prevented', () => {
  const { emitter, log, write } = logged();
  const act = () => log.push('default');
  emitter.on('a', write('first')).on('a', write('second'));
  emitter.dispatch(new OTEvent('a', true), act);
  assert.deepEqual(log.splice(0), ['first a', 'second a', 'default']);
  emitter.once('a', (event) => event.preventDefault());
  emitter.dispatch(new OTEvent('a', true), act);
  assert.deepEqual(log, ['first a', 'second a']);
});

test('what is no function is refused', () => {
  assert.throws(() => new Emitter().on('a', 'text'), TypeError);
  assert.throws(() => new Emitter().on({ a: undefined }), TypeError);
});
