// Which sentence tells a person why something did not work or has ended, and how to go on. The sentences are in texts.js.
import { fill, texts } from './texts.js';

/**
 * @typedef {object} Message
 * @property {string} title in a few words
 * @property {string} text what happened and what to do
 * @property {boolean} [retry] whether the same invitation may work when tried again
 */

/** Problems after which the same invitation may work. */
const RETRY = new Set(['unknown-room', 'no-capacity', 'unreachable', 'timeout', 'too-many', 'unexpected']);
/** Error codes of joinRoom. */
const JOIN_CODES = { 401: 'refused-token', 202: 'unknown-room', 203: 'closing-room', 204: 'no-capacity' };
/** How calls usually end. */
const CALM = new Set(['disconnect', 'sessionClosedByServer']);

/**
 * Which of the problems an error of connect() is.
 *
 * @param {unknown} error
 * @returns {string} a kind for joinProblem
 */
export function joinProblemOf(error) {
  if (typeof error?.problem === 'string') {
    return error.problem;
  }
  if (error?.name === 'BROWSER_NOT_SUPPORTED') {
    return 'unsupported-browser';
  }
  if (error?.code === undefined && error?.message === 'Request has timed out') {
    return 'timeout';
  }
  if (error?.code === 999 && /too many/i.test(error.message)) {
    return 'too-many';
  }
  return JOIN_CODES[error?.code] ?? 'unexpected';
}

/**
 * What to say when joining did not work.
 *
 * @param {string} kind
 * @returns {Message}
 */
export function joinProblem(kind) {
  const known = Object.hasOwn(texts.joinProblems, kind) ? kind : 'unexpected';
  const [title, text] = texts.joinProblems[known];
  return { title, text, retry: RETRY.has(known) };
}

/**
 * What to say when a call has ended.
 *
 * @param {string} reason of sessionDisconnected
 * @returns {Message & {calm: boolean}} calm when that is how calls usually end
 */
export function callEnd(reason) {
  const [title, text] = texts.ends[Object.hasOwn(texts.ends, reason) ? reason : 'other'];
  return { title, text, calm: CALM.has(reason) };
}

/**
 * What to say when devices can't be used.
 *
 * @param {{microphone?: string, camera?: string}} problems insecure, denied, absent or busy, by device
 * @returns {string} empty when both work
 */
export function mediaProblem({ microphone, camera }) {
  const sentences = texts.mediaProblems;
  if (microphone && camera) {
    return sentences[microphone === camera ? camera : `camera-${camera}`] ?? sentences.busy;
  }
  if (camera) {
    return sentences[camera === 'insecure' ? camera : `camera-${camera}`];
  }
  if (microphone) {
    return sentences[microphone === 'insecure' ? microphone : `microphone-${microphone}`];
  }
  return '';
}

/**
 * A short message during a call.
 *
 * @param {string} kind
 * @param {string} [name] of the person that it is about
 */
export function notice(kind, name) {
  return fill(texts.notices[kind], { name });
}
