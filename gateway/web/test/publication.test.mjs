import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steps } from '../src/publication.js';

const microphone = { id: 'microphone' };
const camera = { id: 'camera' };
const both = { audio: microphone, video: camera, audioOn: true, videoOn: true, screen: false };
const none = { audio: null, video: null, audioOn: false, videoOn: false, screen: false };

for (const [what, published, wanted, want] of [
  ['nothing to publish', null, none, []],
  ['a first publication', null, both, ['publish']],
  ['no change', both, both, []],
  ['muting', both, { ...both, audioOn: false }, ['mute']],
  ['unmuting', { ...both, audioOn: false }, both, ['unmute']],
  ['turning the camera off', both, { ...both, videoOn: false }, ['hide']],
  ['turning the camera on', { ...both, videoOn: false }, both, ['show']],
  ['another microphone', both, { ...both, audio: { id: 'other' } }, ['replace-audio']],
  ['another camera', both, { ...both, video: { id: 'other' } }, ['replace-video']],
  ['another camera that is off', both, { ...both, video: { id: 'other' }, videoOn: false }, ['hide']],
  ['a microphone that went away', both, { ...both, audio: null }, ['mute']],
  ['a camera that was not in the offer', { ...both, video: null, videoOn: false }, both, ['unpublish', 'publish']],
  ['sharing the screen', both, { ...both, video: { id: 'screen' }, screen: true }, ['unpublish', 'publish']],
]) {
  test(`${what}: ${want.join(', ') || 'nothing'}`, () => assert.deepEqual(steps(published, wanted), want));
}
