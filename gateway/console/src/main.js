// The page: who looks, what is looked at, and what is shown of it.
import { credentialOf, forget, keep, kept, sendable } from './credential.js';
import { show } from './dom.js';
import { Feed, Refusal } from './feed.js';
import { duration } from './format.js';
import { History } from './history.js';
import { fill, language, texts, translate } from './texts.js';
import * as views from './views.js';

const byId = (id) => document.getElementById(id);
const VIEWS = ['rooms', 'fleet', 'recordings', 'events'];
/** The lists in which the views of one thing are. */
const PARENTS = { room: 'rooms', recording: 'recordings' };

document.documentElement.lang = language;
translate(document);

/** @type {import('./credential.js').Credential | null} */
let credential = kept(sessionStorage, Date.now());
/** @type {Feed | null} */
let feed = null;
/** The last answer, and when it came, in milliseconds. */
let last = null;
let lastAt = 0;
let history = new History();
let roomHistory = new History();

/** The file that its player could not play; '' for none. */
let broken = '';

/** What is looked at, by the address: {view} or {view: 'room' or 'recording', namespace, name}. */
function place() {
  const parts = location.hash.slice(2).split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return '';
    }
  });
  if (parts[0] === 'room' && parts[1] && parts[2]) {
    return { view: 'room', namespace: parts[1], name: parts[2] };
  }
  if (parts[0] === 'recording' && parts[1] && parts[2]) {
    return { view: 'recording', namespace: parts[1], name: parts[2], file: parts[3] ?? '' };
  }
  return { view: VIEWS.includes(parts[0]) ? parts[0] : 'rooms' };
}

function showScreen(name) {
  byId('sign-in').hidden = name !== 'sign-in';
  byId('console').hidden = name !== 'console';
  document.title = `Mediarooms – ${texts.page.console}`;
}

// --- signing in -----------------------------------------------------------------------------------

const how = () => document.querySelector('input[name="how"]:checked').value;

function showForm() {
  const token = how() === 'token';
  byId('secret-label').textContent = token ? texts.page.token : texts.page.password;
  byId('secret-hint').textContent = token ? texts.page.tokenHint : '';
  byId('namespace-field').hidden = !token;
}

function showProblem(code) {
  byId('alert').hidden = false;
  byId('alert').dataset.problem = code;
  byId('alert-text').textContent = texts.problems[code] ?? texts.problems.other;
  byId('secret').setAttribute('aria-invalid', String(code === 'unauthenticated'));
}

async function signIn(event) {
  event.preventDefault();
  const given = credentialOf({ how: how(), secret: byId('secret').value, namespace: byId('namespace').value }, Date.now());
  if (!byId('secret').value.trim() || !sendable(given)) {
    showProblem('unauthenticated');
    byId('secret').focus();
    return;
  }
  byId('submit').disabled = true;
  byId('submit-text').textContent = texts.page.signingIn;
  try {
    await new Feed(given).ask('overview', { namespace: given.namespace });
    byId('alert').hidden = true;
    credential = given;
    keep(given, sessionStorage);
    byId('secret').value = '';
    open();
    document.querySelector('#views a').focus();
  } catch (error) {
    showProblem(error instanceof Refusal ? error.code : 'unreachable');
    byId('secret').focus();
  } finally {
    byId('submit').disabled = false;
    byId('submit-text').textContent = texts.page.signIn;
  }
}

function signOut(code) {
  feed?.stop();
  feed = null;
  last = null;
  credential = null;
  forget(sessionStorage);
  for (const id of ['summary', 'rooms-list', 'rooms-events', 'fleet-content', 'recordings-content', 'events-content', 'room-content', 'recording-content']) {
    byId(id).replaceChildren();
  }
  byId('search').value = '';
  showScreen('sign-in');
  byId('alert').hidden = !code;
  if (code) {
    showProblem(code);
  }
  byId('secret').focus();
}

// --- looking --------------------------------------------------------------------------------------

function open() {
  feed = new Feed(credential);
  history = new History();
  showScreen('console');
  look();
}

/** Follows what the address names. */
function look() {
  if (!credential || !feed) {
    return;
  }
  const at = place();
  last = null;
  for (const view of [...VIEWS, 'room', 'recording']) {
    byId(`view-${view}`).hidden = view !== at.view;
  }
  for (const link of document.querySelectorAll('#views a')) {
    const current = link.dataset.view === (PARENTS[at.view] ?? at.view);
    if (current) {
      link.setAttribute('aria-current', 'page');
    } else {
      link.removeAttribute('aria-current');
    }
  }
  setLive(false);
  // What is not seen is not heard either.
  byId('recording-content').replaceChildren();
  if (at.view === 'room') {
    roomHistory = new History();
    byId('room-content').replaceChildren();
    feed.follow('room', { namespace: at.namespace, name: at.name }, tellRoom, failed);
  } else if (at.view === 'recording') {
    broken = '';
    feed.follow('recording', { namespace: at.namespace, name: at.name }, tellRecording, failed);
  } else {
    feed.follow('overview', { namespace: credential.namespace, search: byId('search').value.trim() }, tell, failed);
  }
}

function arrived(body) {
  if (credential.until <= Date.now()) {
    signOut('expired');
    return false;
  }
  last = body;
  lastAt = Date.now();
  setLive(true);
  const { viewer } = body;
  byId('viewer').textContent = viewer.name;
  byId('viewer').title = viewer.name;
  return true;
}

function tell(body) {
  if (!arrived(body)) {
    return;
  }
  history.add(views.figures(body), feed.now());
  byId('scope').textContent = body.viewer.namespaces === null ? texts.page.allNamespaces : body.viewer.namespaces.join(', ');
  byId('fleet-link').hidden = !body.pools && !body.pods;
  draw();
}

function tellRoom(body) {
  if (!arrived(body)) {
    return;
  }
  roomHistory.add(views.roomFigures(body), feed.now());
  draw();
}

function tellRecording(body) {
  if (arrived(body)) {
    draw();
  }
}

function draw() {
  if (!last) {
    return;
  }
  const at = place();
  if (at.view === 'recording') {
    if (last.recording) {
      show(byId('recording-content'), views.recording(last, { now: feed.now() }, { file: at.file, broken }));
    }
    return;
  }
  const moment = { now: feed.now(), history: at.view === 'room' ? roomHistory : history };
  if (at.view === 'room') {
    if (last.room) {
      show(byId('room-content'), views.room(last, moment));
    }
    return;
  }
  show(byId('summary'), views.summary(last, moment));
  switch (at.view) {
    case 'fleet':
      show(byId('fleet-content'), views.fleet(last, moment));
      break;
    case 'recordings':
      show(byId('recordings-content'), views.recordings(last, moment));
      break;
    case 'events':
      show(byId('events-content'), views.events(last, moment));
      break;
    default:
      show(byId('rooms-list'), views.rooms(last, byId('search').value.trim(), moment));
      show(byId('rooms-events'), views.events(last, moment, 8));
  }
}

/** Why a view of one thing has nothing to show; null for other problems. */
function absence(view, refusal) {
  if (PARENTS[view] && refusal.status === 404) {
    return view === 'room' ? texts.problems.unknown : texts.problems.unknownRecording;
  }
  return refusal.code === 'unseen' ? texts.page.unseenRecordings : null;
}

/** @param {Refusal} refusal */
function failed(refusal) {
  if (refusal.status === 401) {
    signOut('expired');
    return;
  }
  const { view } = place();
  const why = absence(view, refusal);
  if (why) {
    setLive(true);
    byId(`${view}-content`).replaceChildren();
    show(byId(`${view}-content`), why);
    return;
  }
  if (refusal.status === 403) {
    signOut(refusal.code);
    return;
  }
  setLive(false);
  byId('stale').hidden = false;
  byId('stale').textContent = lastAt ? fill(texts.page.stale, { age: duration((Date.now() - lastAt) / 1000) }) : texts.problems.unavailable;
}

function setLive(live) {
  byId('live').dataset.live = String(live);
  byId('live-text').textContent = live ? texts.page.live : texts.page.paused;
  if (live) {
    byId('stale').hidden = true;
  }
}

// Such events do not bubble.
byId('recording-content').addEventListener('error', ({ target }) => {
  broken = target.closest('.player')?.dataset.key ?? '';
  draw();
}, true);

let typing = 0;
byId('search').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(look, 250);
});
byId('form').addEventListener('submit', signIn);
for (const radio of document.querySelectorAll('input[name="how"]')) {
  radio.addEventListener('change', showForm);
}
byId('sign-out').addEventListener('click', () => signOut());
addEventListener('hashchange', () => {
  look();
  scrollTo(0, 0);
});

showForm();
if (credential) {
  open();
} else {
  showScreen('sign-in');
}
