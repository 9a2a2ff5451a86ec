// Every sentence that tells a person why something did not work or has ended, and how to go on.

/**
 * @typedef {object} Message
 * @property {string} title in a few words
 * @property {string} text what happened and what to do
 * @property {boolean} [retry] whether the same invitation may work when tried again
 */

const JOIN_PROBLEMS = {
  'no-token': {
    title: 'You need an invitation',
    text: 'Open the link that you were sent, or paste it here.',
  },
  'malformed-token': {
    title: 'This invitation is incomplete',
    text: 'It looks cut off or mistyped. Copy the whole link and paste it again.',
  },
  'insecure-token': {
    title: 'This invitation is for an unencrypted server',
    text: 'This page is encrypted, and your browser does not let it talk to such a server. Ask for an invitation that begins with wss://.',
  },
  'refused-token': {
    title: 'This invitation can’t be used',
    text: 'It has been used already, was withdrawn, or is not valid. An invitation works once: ask for a new one.',
  },
  'unknown-room': {
    title: 'This room doesn’t exist',
    text: 'It may have ended, or has not been opened yet. Try again in a moment, or ask for a new invitation.',
    retry: true,
  },
  'closing-room': {
    title: 'This room is closing',
    text: 'It has just ended for everybody. Ask whoever invited you for a new one.',
  },
  'no-capacity': {
    title: 'There is no free place for this room right now',
    text: 'All servers are busy. Try again in a minute. If your invitation then does not work any more, ask for a new one.',
    retry: true,
  },
  unreachable: {
    title: 'The server can’t be reached',
    text: 'Check your connection to the internet, and try again.',
    retry: true,
  },
  timeout: {
    title: 'The room doesn’t answer',
    text: 'It took too long to join. Try again. If your invitation then does not work any more, ask for a new one.',
    retry: true,
  },
  'unsupported-browser': {
    title: 'This browser can’t join',
    text: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  },
  'too-many': {
    title: 'Too many attempts',
    text: 'The server asks for a pause. Wait a minute, and try again.',
    retry: true,
  },
  unexpected: {
    title: 'You couldn’t join',
    text: 'Something went wrong on the server. Try again in a moment.',
    retry: true,
  },
};

/** Error codes of joinRoom. */
const JOIN_CODES = { 401: 'refused-token', 202: 'unknown-room', 203: 'closing-room', 204: 'no-capacity' };

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
  return JOIN_PROBLEMS[kind] ?? JOIN_PROBLEMS.unexpected;
}

const ENDS = {
  disconnect: { title: 'You left the room', text: 'Thanks for joining. You can close this page.', calm: true },
  forceDisconnectByServer: { title: 'You were removed from the room', text: 'The organiser ended your part in the call.' },
  forceDisconnectByUser: { title: 'You were removed from the room', text: 'A moderator ended your part in the call.' },
  sessionClosedByServer: { title: 'The room has ended', text: 'The organiser closed it for everybody.', calm: true },
  networkDisconnect: {
    title: 'The connection was lost',
    text: 'You were away for too long, so your place in the room was given up. Check your connection, and join again with a new invitation.',
  },
  nodeCrashed: { title: 'The call broke off', text: 'The server that ran this room went down. The room is being moved: join again with a new invitation.' },
  mediaServerDisconnect: { title: 'The call broke off', text: 'The server that ran this room was taken out of service. Join again with a new invitation.' },
  openviduServerStopped: { title: 'The call broke off', text: 'The server that ran this room was stopped. Join again with a new invitation.' },
};

/**
 * What to say when a call has ended.
 *
 * @param {string} reason of sessionDisconnected
 * @returns {Message & {calm?: boolean}} calm when that is how calls usually end
 */
export function callEnd(reason) {
  return ENDS[reason] ?? { title: 'The call has ended', text: 'You are no longer in the room. Join again with a new invitation.' };
}

const MEDIA_PROBLEMS = {
  insecure: 'Camera and microphone need a secure page (https). You can join and watch.',
  denied: 'Camera and microphone are blocked. Allow them in your browser’s address bar, or join without.',
  'camera-denied': 'The camera is blocked. Allow it in your browser’s address bar, or join without.',
  'microphone-denied': 'The microphone is blocked. Allow it in your browser’s address bar, or join without.',
  absent: 'No camera or microphone was found. You can join and watch.',
  'camera-absent': 'No camera was found. You can join with sound only.',
  'microphone-absent': 'No microphone was found. You can join with your picture only.',
  busy: 'Camera and microphone are in use by another program. Close it, or join without.',
  'camera-busy': 'The camera is in use by another program. Close it, or join without.',
  'microphone-busy': 'The microphone is in use by another program. Close it, or join without.',
};

/**
 * What to say when devices can't be used.
 *
 * @param {{microphone?: string, camera?: string}} problems insecure, denied, absent or busy, by device
 * @returns {string} empty when both work
 */
export function mediaProblem({ microphone, camera }) {
  if (microphone && camera) {
    return MEDIA_PROBLEMS[microphone === camera ? camera : `camera-${camera}`] ?? MEDIA_PROBLEMS.busy;
  }
  if (camera) {
    return MEDIA_PROBLEMS[camera === 'insecure' ? camera : `camera-${camera}`];
  }
  if (microphone) {
    return MEDIA_PROBLEMS[microphone === 'insecure' ? microphone : `microphone-${microphone}`];
  }
  return '';
}

/** Short messages during a call. */
export const NOTICES = {
  viewer: 'You joined as a viewer: you can watch and listen.',
  promoted: 'You may speak now: turn on your microphone or camera.',
  demoted: 'You are a viewer now.',
  unpublished: 'A moderator turned off your microphone and camera.',
  'publish-failed': 'The others can’t see or hear you. Turn your microphone or camera on to try again.',
  'share-failed': 'Your screen couldn’t be shared.',
  'camera-lost': 'Your camera was disconnected.',
  'microphone-lost': 'Your microphone was disconnected.',
  'chat-failed': 'Your message couldn’t be sent. Try again.',
  'recording-started': 'This call is being recorded now.',
  'recording-stopped': 'The recording has ended.',
  'sound-blocked': 'Your browser holds the sound back. Tap anywhere to hear the others.',
  reconnected: 'You’re connected again.',
};

/** @param {string} name whose picture or sound does not come */
export function noPicture(name) {
  return `${name} can’t be received at the moment.`;
}
