// The page: which screen is shown, and what leads from one to the next.
import './quiet.js';
import { Call } from './call.js';
import { readInvitation, takeInvitation } from './invitation.js';
import { Media } from './media.js';
import { callEnd, joinProblemOf } from './messages.js';
import { Room } from './room.js';
import { Start } from './start.js';
import { language, translate } from './texts.js';

const byId = (id) => document.getElementById(id);

document.documentElement.lang = language;
translate(document);

/** What to join with; null when it has to be asked for, and as soon as it was used. */
let invitation = null;
/** @type {Call | null} */
let call = null;
/** @type {MediaStreamTrack | null} the screen that is shared */
let screen = null;

const media = new Media(renderMedia, (device) => {
  if (call) {
    room.notice(`${device}-lost`);
    publish();
  }
});
const start = new Start(media, {
  join,
  forget: () => {
    invitation = null;
  },
});
const room = new Room(media, {
  microphone: () => changeDevice('microphone', media.setMicrophone(!media.microphoneOn)),
  camera: () => changeDevice('camera', media.setCamera(!media.cameraOn)),
  choose: (device, id) => changeDevice(device, media.choose(device, id)),
  write: async (text) => call?.write(text),
  screen: share,
  leave: () => call?.leave(),
});

function show(name) {
  for (const id of ['start', 'room', 'end']) {
    byId(id).hidden = id !== name;
  }
  document.body.dataset.screen = name;
}

function renderMedia() {
  if (call) {
    room.renderMedia({
      microphoneOn: media.microphoneOn && Boolean(media.microphone),
      cameraOn: media.cameraOn && Boolean(media.camera),
      sharing: Boolean(screen),
      canPublish: call.canPublish,
      canShare: canShare(),
    });
  } else {
    start.renderMedia();
  }
}

/** Publishes what a change of a device has come to, and says when it has come to nothing. */
async function changeDevice(device, change) {
  await change;
  if (media.problems[device] && !media[device]) {
    room.notice(`${device}-problem`);
  }
  await publish();
}

/** Phones say that they can, and then can't. */
function canShare() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia) && !matchMedia('(pointer: coarse)').matches;
}

async function join(pasted, name) {
  if (pasted !== null) {
    const read = readInvitation(pasted, location);
    if (read.problem) {
      start.showProblem(read.problem);
      return;
    }
    invitation = read;
  }
  start.setJoining(true);
  const joining = new Call({
    changed: () => {
      if (call === joining) {
        room.render(joining);
        renderMedia();
      }
    },
    reconnecting: (on) => room.setReconnecting(on),
    notice: (kind, about) => noticed(kind, about),
    written: (message) => room.written(message),
    ended: end,
  });
  try {
    await joining.join(invitation.token, name);
  } catch (error) {
    start.setJoining(false);
    start.showProblem(joinProblemOf(error));
    return;
  }
  // It is worth nothing any more.
  invitation = null;
  start.setJoining(false);
  call = joining;
  document.title = `${call.room} · Mediarooms`;
  show('room');
  room.render(call);
  renderMedia();
  if (call.canPublish) {
    await publish();
  } else {
    room.notice('viewer');
    await media.close();
  }
}

function noticed(kind, about) {
  if (kind === 'unpublished') {
    stopScreen();
    media.setMicrophone(false);
    media.setCamera(false);
  }
  if (kind === 'demoted') {
    stopScreen();
    media.close();
  }
  room.notice(kind, about);
}

/** Makes what the others get what the buttons show. */
async function publish() {
  const current = call;
  if (!current?.canPublish) {
    return;
  }
  await media.settled();
  renderMedia();
  if (current !== call) {
    return;
  }
  try {
    await current.publish({
      audio: media.microphone,
      video: screen ?? media.camera,
      audioOn: media.microphoneOn,
      videoOn: Boolean(screen) || media.cameraOn,
      screen: Boolean(screen),
    });
  } catch (error) {
    if (current !== call) {
      return;
    }
    if (error?.name === 'OPENVIDU_PERMISSION_DENIED') {
      current.canPublish = false;
      room.notice('viewer');
      await media.close();
      room.render(current);
    } else {
      room.notice('publish-failed');
      await media.setMicrophone(false);
      await media.setCamera(false);
    }
    stopScreen();
    renderMedia();
  }
}

async function share() {
  if (screen) {
    stopScreen();
    await publish();
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: false });
  } catch (error) {
    if (error.name !== 'NotAllowedError') {
      room.notice('share-failed');
    }
    return;
  }
  const [track] = stream.getVideoTracks();
  if (!call) {
    track.stop();
    return;
  }
  track.contentHint = 'detail';
  screen = track;
  track.addEventListener('ended', () => {
    if (screen === track) {
      screen = null;
      publish();
    }
  });
  await publish();
}

function stopScreen() {
  const track = screen;
  screen = null;
  track?.stop();
}

function end(reason) {
  call = null;
  stopScreen();
  media.close();
  room.clear();
  const { title, text, calm } = callEnd(reason);
  byId('end-title').textContent = title;
  byId('end-text').textContent = text;
  byId('ending').dataset.reason = reason;
  byId('ending').classList.toggle('calm', Boolean(calm));
  document.title = 'Mediarooms';
  show('end');
  byId('end-title').focus();
}

byId('end-action').addEventListener('click', () => {
  start.askForInvitation();
  show('start');
  media.microphoneOn = true;
  media.cameraOn = true;
  media.open();
});
// The others should not wait for somebody who has closed the page.
addEventListener('pagehide', () => call?.leave());

// The invitation stays in no history, bookmark or screenshot.
const { text: given, rest } = takeInvitation(location.href);
if (given !== null) {
  history.replaceState(null, '', rest);
}
// Another invitation in the address of an open page is all that changes there, and loads nothing by itself.
addEventListener('hashchange', () => {
  if (takeInvitation(location.href).text !== null) {
    location.reload();
  }
});
if (given === null) {
  start.askForInvitation();
} else {
  const read = readInvitation(given, location);
  if (read.problem) {
    start.askForInvitation();
    start.showProblem(read.problem);
  } else {
    invitation = read;
    start.showInvitation(read);
  }
}
show('start');
renderMedia();
media.open();
