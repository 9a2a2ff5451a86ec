// The unmodified openvidu-browser with probes around it. The Go driver (test/browser) calls window.harness; every call
// returns something that can be written as JSON, and every event of the package lands in window.events with its time.

/** Events in the order in which they came: {at: ms since 1970, on, name, reason, ...}. */
window.events = [];

const SESSION_EVENTS = [
  'connectionCreated', 'connectionDestroyed', 'connectionPropertyChanged', 'exception', 'networkQualityLevelChanged',
  'reconnected', 'reconnecting', 'recordingStarted', 'recordingStopped', 'sessionDisconnected', 'signal', 'streamCreated',
  'streamDestroyed', 'streamPropertyChanged',
];
const PUBLISHER_EVENTS = ['accessAllowed', 'accessDenied', 'streamCreated', 'streamDestroyed', 'streamPropertyChanged'];

let openvidu;
let session;
let publisher;
/** Subscribers by the connection id of the stream's owner. */
const subscribers = new Map();
/** What watch() measures, by the connection id of the stream's owner. */
const watched = new Map();

function record(on, name, event = {}) {
  const connection = event.connection || event.from || event.stream?.connection;
  window.events.push({
    at: Date.now(),
    on,
    name,
    reason: event.reason,
    connectionId: connection?.connectionId,
    streamId: event.stream?.streamId,
    type: event.type,
    data: typeof event.data === 'string' ? event.data : undefined,
    property: event.changedProperty,
    newValue: event.newValue === undefined ? undefined : JSON.stringify(event.newValue),
    message: event.message,
  });
}

/** An error as the package gave it, so that tests can compare code and text. */
function failure(error) {
  const plain = { code: error?.code, name: error?.name, message: error?.message ?? String(error) };
  record('harness', 'failed', { message: JSON.stringify(plain) });
  return { error: plain };
}

function videos() {
  return document.getElementById('videos');
}

/** Joins with a token. autoSubscribe receives every stream as soon as it is announced. */
async function join({ token, clientData, autoSubscribe = true }) {
  openvidu = new OpenVidu();
  openvidu.enableProdMode();
  // Tests stay on this machine: no public STUN servers.
  openvidu.setAdvancedConfiguration({ iceServers: [] });
  session = openvidu.initSession();
  for (const name of SESSION_EVENTS) {
    session.on(name, (event) => {
      record('session', name, event);
      if (name === 'streamCreated' && autoSubscribe) {
        subscribe(event.stream.connection.connectionId);
      }
      if (name === 'streamDestroyed') {
        subscribers.delete(event.stream.connection.connectionId);
      }
    });
  }
  try {
    await session.connect(token, clientData);
  } catch (error) {
    return failure(error);
  }
  return {
    connectionId: session.connection.connectionId,
    sessionId: session.sessionId,
    role: session.connection.role,
    data: session.connection.data,
    others: [...session.remoteConnections.keys()],
  };
}

/** Publishes camera and microphone (fake devices). resolution is WIDTHxHEIGHT. */
async function publish({ resolution = '320x240', frameRate = 15, audio = true, video = true } = {}) {
  publisher = openvidu.initPublisher(videos(), {
    resolution, frameRate, publishAudio: audio, publishVideo: video, insertMode: 'APPEND', mirror: false,
  }, (error) => error && record('publisher', 'failed', error));
  for (const name of PUBLISHER_EVENTS) {
    publisher.on(name, (event) => record('publisher', name, event));
  }
  try {
    await session.publish(publisher);
  } catch (error) {
    return failure(error);
  }
  return { streamId: publisher.stream.streamId };
}

async function unpublish() {
  try {
    await session.unpublish(publisher);
  } catch (error) {
    return failure(error);
  }
  return {};
}

/** Receives the stream of a participant. */
async function subscribe(connectionId) {
  try {
    const stream = session.remoteConnections.get(connectionId).stream;
    const subscriber = await session.subscribeAsync(stream, videos(), { insertMode: 'APPEND' });
    subscribers.set(connectionId, subscriber);
    record('harness', 'subscribed', { connection: stream.connection });
  } catch (error) {
    return failure(error);
  }
  return {};
}

async function unsubscribe(connectionId) {
  try {
    await session.unsubscribe(subscribers.get(connectionId));
  } catch (error) {
    return failure(error);
  }
  subscribers.delete(connectionId);
  return {};
}

async function signal({ data = '', type = '', to = [] }) {
  try {
    await session.signal({ data, type, to: to.map((id) => session.remoteConnections.get(id) ?? session.connection) });
  } catch (error) {
    return failure(error);
  }
  return {};
}

function mute({ audio, video }) {
  if (audio !== undefined) {
    publisher.publishAudio(!audio);
  }
  if (video !== undefined) {
    publisher.publishVideo(!video);
  }
  return {};
}

function leave() {
  session.disconnect();
  return {};
}

/** What is received from a participant, from getStats. */
async function received(connectionId) {
  const pc = subscribers.get(connectionId)?.stream.getRTCPeerConnection();
  const result = { subscribed: Boolean(pc), video: {}, audio: {} };
  if (!pc) {
    return result;
  }
  result.iceState = pc.iceConnectionState;
  const report = await pc.getStats();
  for (const stat of report.values()) {
    if (stat.type !== 'inbound-rtp') {
      continue;
    }
    if (stat.kind === 'video') {
      result.video = {
        framesDecoded: stat.framesDecoded, width: stat.frameWidth, height: stat.frameHeight, packets: stat.packetsReceived,
        bytes: stat.bytesReceived, lost: stat.packetsLost, codec: report.get(stat.codecId)?.mimeType,
      };
    } else {
      result.audio = {
        packets: stat.packetsReceived, bytes: stat.bytesReceived, energy: stat.totalAudioEnergy,
        samples: stat.totalSamplesReceived, codec: report.get(stat.codecId)?.mimeType,
      };
    }
  }
  return result;
}

/** What is sent, from getStats, with the size of the encoded frames. */
async function sent() {
  const result = { video: {}, audio: {} };
  const pc = publisher?.stream.getRTCPeerConnection();
  if (!pc) {
    return result;
  }
  const report = await pc.getStats();
  for (const stat of report.values()) {
    if (stat.type !== 'outbound-rtp') {
      continue;
    }
    if (stat.kind === 'video') {
      result.video = {
        framesEncoded: stat.framesEncoded, width: stat.frameWidth, height: stat.frameHeight, packets: stat.packetsSent,
        bytes: stat.bytesSent, codec: report.get(stat.codecId)?.mimeType, keyFrames: stat.keyFramesEncoded,
      };
    } else {
      result.audio = { packets: stat.packetsSent, bytes: stat.bytesSent, codec: report.get(stat.codecId)?.mimeType };
    }
  }
  return result;
}

/**
 * Starts to measure the longest time in which no new video frame of a participant was decoded, and in which no audio
 * packet came, in milliseconds. The figures are read with gaps().
 */
function watch(connectionId) {
  clearInterval(watched.get(connectionId)?.timer);
  const now = performance.now();
  const state = { videoGap: 0, audioGap: 0, frames: -1, packets: -1, frameAt: now, packetAt: now, busy: false };
  state.timer = setInterval(async () => {
    if (state.busy) {
      return;
    }
    state.busy = true;
    const { video, audio } = await received(connectionId);
    const at = performance.now();
    state.videoGap = Math.max(state.videoGap, at - state.frameAt);
    state.audioGap = Math.max(state.audioGap, at - state.packetAt);
    if (video.framesDecoded !== undefined && video.framesDecoded !== state.frames) {
      state.frames = video.framesDecoded;
      state.frameAt = at;
    }
    if (audio.packets !== undefined && audio.packets !== state.packets) {
      state.packets = audio.packets;
      state.packetAt = at;
    }
    state.busy = false;
  }, 50);
  watched.set(connectionId, state);
  return {};
}

/** Ends a measurement that watch() began. */
function gaps(connectionId) {
  const state = watched.get(connectionId);
  clearInterval(state.timer);
  watched.delete(connectionId);
  return { videoMs: state.videoGap, audioMs: state.audioGap };
}

window.harness = { join, publish, unpublish, subscribe, unsubscribe, signal, mute, leave, received, sent, watch, gaps };
