const $ = (id) => document.getElementById(id);

/** The call that this page is in: {session, publisher, tiles}, tiles by connection id. */
let call;

/** Posts to our own server and gives its answer. */
async function post(path, body = {}) {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.error ?? `The server answered with ${response.status}`);
  }
  return answer;
}

/** Asks our server for a token: it creates the room if need be, and a connection for this user. */
async function getToken(room) {
  const { sessionId } = await post('api/sessions', { customSessionId: room });
  const { token } = await post(`api/sessions/${sessionId}/connections`);
  return token;
}

/** What a user told of itself when it joined. */
function nameOf(connection) {
  try {
    return String(JSON.parse(connection.data).name);
  } catch {
    return 'Guest';
  }
}

async function join(name, room) {
  const openvidu = new OpenVidu();
  openvidu.enableProdMode();
  const session = openvidu.initSession();
  call = { session, tiles: new Map() };
  session.on('streamCreated', ({ stream }) => {
    const subscriber = session.subscribe(stream, undefined);
    subscriber.addVideoElement(addTile(stream.connection.connectionId, nameOf(stream.connection)));
    showState(stream);
  });
  session.on('streamDestroyed', ({ stream }) => removeTile(stream.connection.connectionId));
  session.on('connectionCreated', showPeople);
  session.on('connectionDestroyed', showPeople);
  session.on('streamPropertyChanged', ({ stream }) => showState(stream));
  session.on('reconnecting', () => showBanner('The connection was lost. Trying again…'));
  session.on('reconnected', () => showBanner(''));
  session.on('sessionDisconnected', ({ reason }) => leave(reason));
  session.on('exception', (event) => console.warn(event.name, event.message));

  await session.connect(await getToken(room), { name });
  $('title').textContent = room;
  $('lobby').hidden = true;
  $('call').hidden = false;
  history.replaceState(null, '', `#${room}`);
  await publish(openvidu, name);
  showPeople();
}

/** Sends the camera and the microphone. Without them, one can still see and hear the others. */
async function publish(openvidu, name) {
  const { session } = call;
  const publisher = await openvidu
    .initPublisherAsync(undefined, { publishAudio: true, publishVideo: true, resolution: '640x480', frameRate: 30, mirror: true })
    .catch((error) => console.warn(error.name, error.message));
  for (const id of ['microphone', 'camera']) {
    $(id).disabled = !publisher;
    $(id).setAttribute('aria-pressed', Boolean(publisher));
  }
  if (!publisher) {
    showBanner('No camera and microphone: the others can’t see and hear you.');
    return;
  }
  call.publisher = publisher;
  publisher.addVideoElement(addTile(session.connection.connectionId, `${name} (you)`, true));
  publisher.on('streamPropertyChanged', ({ stream }) => showState(stream));
  await session.publish(publisher);
}

/** Ends the call, whoever has ended it, and says why unless it was this user. */
function leave(reason) {
  if (!call) {
    return;
  }
  const { session } = call;
  call = undefined;
  session.disconnect();
  $('tiles').replaceChildren();
  showBanner('');
  $('call').hidden = true;
  $('lobby').hidden = false;
  $('message').textContent = {
    disconnect: '',
    networkDisconnect: 'The connection was lost.',
    forceDisconnectByServer: 'You were removed from the call.',
    forceDisconnectByUser: 'You were removed from the call.',
    sessionClosedByServer: 'The call has ended.',
  }[reason] ?? 'The call has ended.';
}

/** Adds the tile of a user and gives its video element. */
function addTile(connectionId, name, own = false) {
  const tile = $('tile').content.firstElementChild.cloneNode(true);
  tile.querySelector('.name').textContent = name;
  tile.querySelector('.initial').textContent = name.slice(0, 1).toUpperCase();
  const video = tile.querySelector('video');
  // Nobody wants to hear themselves.
  video.muted = own;
  call.tiles.set(connectionId, tile);
  $('tiles').append(tile);
  arrange();
  return video;
}

function removeTile(connectionId) {
  call?.tiles.get(connectionId)?.remove();
  call?.tiles.delete(connectionId);
  arrange();
}

/** Shows in a tile what its user has switched off. */
function showState(stream) {
  const tile = call?.tiles.get(stream.connection.connectionId);
  tile?.classList.toggle('camera-off', !(stream.hasVideo && stream.videoActive));
  tile?.classList.toggle('microphone-off', !(stream.hasAudio && stream.audioActive));
}

/** As many columns as make the tiles big, on a screen of any shape. */
function arrange() {
  const count = Math.max($('tiles').childElementCount, 1);
  const { clientWidth: width, clientHeight: height } = $('tiles');
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    // Tiles are shown a little wider or higher than 4:3, whichever fits.
    const size = Math.min(width / columns / 4, height / Math.ceil(count / columns) / 3);
    if (size > best.size) {
      best = { columns, size };
    }
  }
  $('tiles').style.setProperty('--columns', best.columns);
}

function showPeople() {
  const count = call ? call.session.remoteConnections.size + 1 : 0;
  $('people').textContent = count === 1 ? 'Only you are here' : `${count} people`;
}

function showBanner(text) {
  $('banner').textContent = text;
  $('banner').hidden = !text;
}

$('join').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  button.disabled = true;
  $('message').textContent = '';
  try {
    await join($('name').value.trim(), $('room').value.trim());
  } catch (error) {
    leave();
    $('message').textContent = error.message;
  }
  button.disabled = false;
});

$('microphone').addEventListener('click', ({ currentTarget: button }) => {
  const on = button.getAttribute('aria-pressed') !== 'true';
  call.publisher.publishAudio(on);
  button.setAttribute('aria-pressed', on);
});

$('camera').addEventListener('click', ({ currentTarget: button }) => {
  const on = button.getAttribute('aria-pressed') !== 'true';
  call.publisher.publishVideo(on);
  button.setAttribute('aria-pressed', on);
});

$('leave').addEventListener('click', () => leave('disconnect'));

$('invite').addEventListener('click', async ({ currentTarget: button }) => {
  await navigator.clipboard.writeText(location.href);
  const label = button.querySelector('span');
  const text = label.textContent;
  label.textContent = 'Copied';
  setTimeout(() => { label.textContent = text; }, 2000);
});

// A link to a room ends in its name.
$('room').value = decodeURIComponent(location.hash.slice(1));
window.addEventListener('resize', arrange);
