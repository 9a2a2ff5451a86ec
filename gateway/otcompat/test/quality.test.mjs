import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './library.mjs';

const { figuresOf, scoresOf } = await load('quality');

/** Figures of a second of sound and of video, one second after others or at first. */
const sound = (concealed, delay = 50, second = 1) => ({ samples: 48000 * second, concealed, delay });
const video = (lost, frozen, { frames = 30, packets = 100, second = 1 } = {}) =>
  ({ packets: packets * second, lost, frames: frames * second, frozen, at: 1000 * second });

test('sound is scored by what was made up, and by the delay', () => {
  const score = (concealed, delay) => scoresOf({ audio: { ...sound(0), samples: 0 } }, { audio: sound(concealed, delay) }, false).audioQualityScore;
  assert.deepEqual([score(0), score(480), score(1440), score(4800), score(9600), score(48000)], [5, 5, 4, 3, 2, 1]);
  assert.deepEqual([score(0, 150), score(0, 400), score(0, 1000)], [5, 3, 1]);
});

test('video is scored by how long it was frozen, and by what was lost', () => {
  const none = video(0, 0, { frames: 0, packets: 0, second: 0 });
  const score = (lost, frozen, packets = 100 - lost) => scoresOf({ video: none }, { video: video(lost, frozen, { packets }) }, false).videoQualityScore;
  assert.deepEqual([score(0, 0), score(1, 0), score(4, 0), score(10, 0), score(50, 0)], [5, 4, 3, 2, 1]);
  assert.deepEqual([score(0, 0.01), score(0, 0.05), score(0, 0.2), score(0, 0.5)], [4, 3, 2, 1]);
});

test('a picture that stands still is bad where it should move', () => {
  const before = { video: video(0, 0) }, now = { video: { ...video(0, 0), at: 2000 } };
  assert.equal(scoresOf(before, now, false).videoQualityScore, 1);
  assert.equal(scoresOf(before, now, true).videoQualityScore, undefined);
});

test('nothing is said of what is not there, or has begun anew', () => {
  assert.deepEqual(scoresOf({}, {}, false), { audioQualityScore: undefined, videoQualityScore: undefined });
  const before = { audio: sound(0, 50, 9), video: video(0, 0, { second: 9 }) };
  assert.deepEqual(scoresOf(before, { audio: sound(0), video: video(0, 0) }, false), { audioQualityScore: undefined, videoQualityScore: undefined });
});

test('a report is read', () => {
  const report = new Map(Object.entries({
    way: { type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.5 },
    sound: {
      type: 'inbound-rtp', kind: 'audio', packetsReceived: 50, totalSamplesReceived: 48000, concealedSamples: 480, jitterBufferDelay: 120,
      jitterBufferEmittedCount: 480,
    },
    video: { type: 'inbound-rtp', kind: 'video', framesDecoded: 30, packetsReceived: 99, packetsLost: 1, totalFreezesDuration: 0.5, timestamp: 7000 },
    sent: { type: 'outbound-rtp', kind: 'video', framesDecoded: 1 },
  }));
  assert.deepEqual(figuresOf(report), {
    audio: { samples: 48000, concealed: 480, delay: 500 }, video: { packets: 99, lost: 1, frames: 30, frozen: 0.5, at: 7000 },
  });
  report.get('sound').packetsReceived = 0;
  report.get('video').framesDecoded = 0;
  assert.deepEqual(figuresOf(report), {});
});
