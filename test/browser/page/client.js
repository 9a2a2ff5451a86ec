// One OpenVidu object of the page with all that tests do with it. A method gives something that can be written as JSON; what the
// package throws is given as {error}.

const SESSION_EVENTS = [
  'broadcastStarted', 'broadcastStopped', 'connectionCreated', 'connectionDestroyed', 'connectionPropertyChanged', 'exception',
  'networkQualityLevelChanged', 'reconnected', 'reconnecting', 'recordingStarted', 'recordingStopped', 'sessionDisconnected', 'signal',
  'speechToTextMessage', 'streamCreated', 'streamDestroyed', 'streamPropertyChanged',
];
const PUBLISHER_EVENTS = ['accessAllowed', 'accessDenied', 'streamCreated', 'streamDestroyed', 'streamPropertyChanged'];

function videos() {
  return document.getElementById('videos');
}

/** A track with a moving picture, as an application makes it that draws its own. */
export function draw({ width = 320, height = 240, frameRate = 15, label = 'canvas' } = {}) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  let n = 0;
  const paint = () => {
    n += 1;
    context.fillStyle = `hsl(${(n * 7) % 360}, 80%, 50%)`;
    context.fillRect(0, 0, width, height);
    context.fillStyle = 'black';
    context.fillText(`${label} ${n}`, width / 4, height / 2);
  };
  paint();
  const timer = setInterval(paint, 1000 / frameRate);
  const track = canvas.captureStream(frameRate).getVideoTracks()[0];
  track.stand = () => clearInterval(timer);
  const stop = track.stop.bind(track);
  track.stop = () => {
    track.stand();
    stop();
  };
  return track;
}

/** The device id of a camera, by its number from 1 on. With fake devices a page is told the ids unasked. */
async function cameraId(number) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === 'videoinput')[number - 1].deviceId;
}

/** The codec and counters of one outbound-rtp or inbound-rtp of video. */
function videoFigures(report, stat) {
  return {
    framesDecoded: stat.framesDecoded, framesEncoded: stat.framesEncoded, width: stat.frameWidth, height: stat.frameHeight,
    packets: stat.packetsReceived ?? stat.packetsSent, bytes: stat.bytesReceived ?? stat.bytesSent, lost: stat.packetsLost,
    codec: report.get(stat.codecId)?.mimeType, rid: stat.rid, active: stat.active, targetBitrate: stat.targetBitrate,
  };
}

function audioFigures(report, stat) {
  return {
    packets: stat.packetsReceived ?? stat.packetsSent, bytes: stat.bytesReceived ?? stat.bytesSent, energy: stat.totalAudioEnergy,
    samples: stat.totalSamplesReceived, codec: report.get(stat.codecId)?.mimeType,
  };
}

export class Client {
  #name;
  #openvidu;
  #session;
  #publisher;
  /** Subscribers by the connection id of the stream's owner. */
  #subscribers = new Map();
  /** What watch() measures, by the connection id of the stream's owner. */
  #watched = new Map();

  constructor(name) {
    this.#name = name;
  }

  #record(on, name, event = {}) {
    const connection = event.connection || event.from || event.stream?.connection;
    window.events.push({
      at: Date.now(),
      client: this.#name,
      on,
      name,
      reason: event.reason,
      connectionId: connection?.connectionId,
      streamId: event.stream?.streamId,
      type: event.type,
      data: typeof event.data === 'string' ? event.data : name.startsWith('recording') ? `${event.id} ${event.name}` : undefined,
      property: event.changedProperty,
      newValue: event.newValue === undefined ? undefined : JSON.stringify(event.newValue),
      oldValue: event.oldValue === undefined ? undefined : JSON.stringify(event.oldValue),
      message: event.message,
      exception: name === 'exception' ? event.name : undefined,
    });
  }

  /** An error as the package gave it, so that tests can compare code and text. */
  #failure(error) {
    const plain = { code: error?.code, name: error?.name, message: error?.message ?? String(error) };
    this.#record('harness', 'failed', { message: JSON.stringify(plain) });
    return { error: plain };
  }

  async #try(action) {
    try {
      return (await action()) ?? {};
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** The connection with an id, own or another's. */
  #connection(id) {
    return this.#session.remoteConnections.get(id) ?? this.#session.connection;
  }

  /**
   * Joins with a token. autoSubscribe receives every stream as soon as it is announced; advanced is for
   * OpenVidu.setAdvancedConfiguration.
   */
  join({ token, clientData, autoSubscribe = true, advanced = {} }) {
    this.#openvidu = new OpenVidu();
    this.#openvidu.enableProdMode();
    this.#openvidu.setAdvancedConfiguration(advanced);
    this.#session = this.#openvidu.initSession();
    for (const name of SESSION_EVENTS) {
      this.#session.on(name, (event) => {
        this.#record('session', name, event);
        if (name === 'streamCreated' && autoSubscribe) {
          this.subscribe(event.stream.connection.connectionId);
        }
        if (name === 'streamDestroyed') {
          this.#subscribers.delete(event.stream.connection.connectionId);
        }
      });
    }
    return this.#try(async () => {
      await this.#session.connect(token, clientData);
      return this.joined();
    });
  }

  /** What connect() told. */
  joined() {
    const { connection, sessionId, remoteConnections } = this.#session;
    return {
      connectionId: connection.connectionId, sessionId, role: connection.role, record: connection.record, data: connection.data,
      others: [...remoteConnections.values()].map((other) => other.connectionId),
    };
  }

  /** Adds a listener for one kind of signal, as applications have them; its events are recorded as signal:TYPE. */
  listen(type) {
    this.#session.on(`signal:${type}`, (event) => this.#record('session', `signal:${type}`, event));
    return {};
  }

  /**
   * Publishes. resolution is WIDTHxHEIGHT; audio and video say whether they are on at first; audioSource and videoSource are
   * false for none, 'screen' for the screen, 'canvas' for a track that the page draws, absent for the fake devices; camera is
   * the number of the page's own camera; 1 is what the browser chooses by itself.
   */
  async publish({
    resolution = '320x240', frameRate = 15, audio = true, video = true, audioSource, videoSource, camera = 1, simulcast,
    loopback = false, filter,
  } = {}) {
    const [width, height] = resolution.split('x').map(Number);
    const properties = {
      resolution, frameRate, publishAudio: audio, publishVideo: video, insertMode: 'APPEND', mirror: false, audioSource,
      videoSource: videoSource === 'canvas' ? draw({ width, height, frameRate }) : videoSource, videoSimulcast: simulcast, filter,
    };
    return this.#try(async () => {
      if (camera > 1) {
        properties.videoSource = await cameraId(camera);
      }
      this.#publisher = this.#openvidu.initPublisher(videos(), properties, (error) => error && this.#record('publisher', 'failed', error));
      for (const name of PUBLISHER_EVENTS) {
        this.#publisher.on(name, (event) => this.#record('publisher', name, event));
      }
      if (loopback) {
        this.#publisher.subscribeToRemote();
      }
      return this.republish();
    });
  }

  /** Publishes what was published before. */
  republish() {
    return this.#try(async () => {
      await this.#session.publish(this.#publisher);
      const { stream } = this.#publisher;
      return {
        streamId: stream.streamId, hasAudio: stream.hasAudio, hasVideo: stream.hasVideo, typeOfVideo: stream.typeOfVideo ?? '',
        dimensions: JSON.stringify(stream.videoDimensions),
      };
    });
  }

  unpublish() {
    return this.#try(async () => { await this.#session.unpublish(this.#publisher); });
  }

  /** Receives the stream of a participant. */
  subscribe(connectionId) {
    return this.#try(async () => {
      const { stream } = this.#session.remoteConnections.get(connectionId);
      const subscriber = await this.#session.subscribeAsync(stream, videos(), { insertMode: 'APPEND' });
      this.#subscribers.set(connectionId, subscriber);
      this.#record('harness', 'subscribed', { connection: stream.connection, stream });
    });
  }

  unsubscribe(connectionId) {
    return this.#try(async () => {
      await this.#session.unsubscribe(this.#subscribers.get(connectionId));
      this.#subscribers.delete(connectionId);
    });
  }

  signal({ data = '', type = '', to = [] }) {
    return this.#try(async () => { await this.#session.signal({ data, type, to: to.map((id) => this.#connection(id)) }); });
  }

  /** Sends numbered signals one after another without waiting for any. */
  signals({ type, count }) {
    return this.#try(async () => {
      const sent = [];
      for (let n = 0; n < count; n += 1) {
        sent.push(this.#session.signal({ type, data: String(n) }));
      }
      await Promise.all(sent);
    });
  }

  /** Sends a signal of a number of bytes. */
  bigSignal(bytes) {
    return this.signal({ type: 'big', data: 'x'.repeat(bytes) });
  }

  mute({ audio, video }) {
    return this.#try(async () => {
      if (audio !== undefined) {
        this.#publisher.publishAudio(!audio);
      }
      if (video !== undefined) {
        // Its promise does not settle when nothing changes.
        this.#publisher.publishVideo(!video);
      }
    });
  }

  /** Has the published track, which the page draws, stand still. */
  standStill() {
    return this.#try(async () => this.#publisher.stream.getMediaStream().getVideoTracks()[0].stand());
  }

  /** Replaces the published track by another: one that the page draws, or the fake microphone again. */
  replaceTrack({ kind, width, height }) {
    return this.#try(async () => {
      const track = kind === 'video'
        ? draw({ width, height, label: 'replaced' })
        : (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks()[0];
      await this.#publisher.replaceTrack(track);
      return { label: track.label };
    });
  }

  /** Lets the captured screen or camera change its size, as when the user resizes the window that is shared. */
  resizeCapture({ width, height }) {
    return this.#try(async () => {
      const track = this.#publisher.stream.getMediaStream().getVideoTracks()[0];
      await track.applyConstraints({ width: { exact: width }, height: { exact: height } });
    });
  }

  forceDisconnect(connectionId) {
    return this.#try(async () => { await this.#session.forceDisconnect(this.#connection(connectionId)); });
  }

  forceUnpublish(connectionId) {
    return this.#try(async () => { await this.#session.forceUnpublish(this.#connection(connectionId).stream); });
  }

  /** Calls one of the methods for filters, on the stream of a participant. */
  filter({ connectionId, method, args }) {
    return this.#try(async () => { await this.#connection(connectionId).stream[method](...args); });
  }

  subscribeToSpeechToText({ connectionId, lang }) {
    return this.#try(async () => { await this.#session.subscribeToSpeechToText(this.#connection(connectionId).stream, lang); });
  }

  unsubscribeFromSpeechToText({ connectionId }) {
    return this.#try(async () => { await this.#session.unsubscribeFromSpeechToText(this.#connection(connectionId).stream); });
  }

  /** Gives the stream of a participant another peer connection, as the package does when ICE has failed. */
  reconnect(connectionId) {
    return this.#try(async () => { await this.#connection(connectionId).stream.reconnect(); });
  }

  leave() {
    this.#session.disconnect();
    return {};
  }

  /** What is known of a participant's stream. */
  stream(connectionId) {
    const stream = this.#connection(connectionId)?.stream;
    if (!stream) {
      return {};
    }
    return {
      streamId: stream.streamId, hasAudio: stream.hasAudio, hasVideo: stream.hasVideo, audioActive: stream.audioActive ?? false,
      videoActive: stream.videoActive ?? false, typeOfVideo: stream.typeOfVideo ?? '', frameRate: stream.frameRate ?? 0,
      dimensions: stream.videoDimensions === undefined ? '' : JSON.stringify(stream.videoDimensions),
    };
  }

  /** What is received from a participant, from getStats. For the own connection id: what comes back from the server. */
  async received(connectionId) {
    const own = connectionId === this.#session?.connection?.connectionId;
    const stream = own ? this.#publisher?.stream : this.#subscribers.get(connectionId)?.stream;
    const pc = stream?.getRTCPeerConnection();
    const result = { subscribed: Boolean(pc), video: {}, audio: {} };
    if (!pc) {
      return result;
    }
    result.iceState = pc.iceConnectionState;
    const report = await pc.getStats();
    for (const stat of report.values()) {
      if (stat.type === 'inbound-rtp' && stat.kind === 'video') {
        result.video = videoFigures(report, stat);
      } else if (stat.type === 'inbound-rtp') {
        result.audio = audioFigures(report, stat);
      }
    }
    return result;
  }

  /** How many video frames were decoded of each stream that is received, by the connection id of its owner. */
  async framesDecoded() {
    const frames = {};
    await Promise.all([...this.#subscribers.keys()].map(async (connectionId) => {
      const { video } = await this.received(connectionId);
      frames[connectionId] = video.framesDecoded ?? 0;
    }));
    return frames;
  }

  /** What is sent, from getStats, with the size of the encoded frames; of simulcast every layer, and the biggest as video. */
  async sent() {
    const result = { video: {}, audio: {}, layers: [] };
    const pc = this.#publisher?.stream.getRTCPeerConnection();
    if (!pc) {
      return result;
    }
    result.iceState = pc.iceConnectionState;
    const report = await pc.getStats();
    for (const stat of report.values()) {
      if (stat.type === 'outbound-rtp' && stat.kind === 'video') {
        const layer = videoFigures(report, stat);
        result.layers.push(layer);
        if ((layer.width ?? 0) >= (result.video.width ?? 0)) {
          result.video = layer;
        }
      } else if (stat.type === 'outbound-rtp') {
        result.audio = audioFigures(report, stat);
      }
    }
    return result;
  }

  /**
   * Starts to measure the longest time in which no new video frame of a participant was decoded, and in which no audio
   * packet came, in milliseconds. The figures are read with gaps().
   */
  watch(connectionId) {
    clearInterval(this.#watched.get(connectionId)?.timer);
    const now = performance.now();
    const state = { video: { gap: 0, count: -1, newAt: now }, audio: { gap: 0, count: -1, newAt: now }, lookedAt: now, busy: false };
    const look = (media, count, at) => {
      // What is new came some time after the look before: a page that looks late, on a busy computer, has not missed it.
      // A new peer connection counts from 0.
      const isNew = count > 0 && count !== media.count;
      media.gap = Math.max(media.gap, (isNew ? state.lookedAt : at) - media.newAt);
      if (isNew) {
        media.count = count;
        media.newAt = at;
      }
    };
    state.timer = setInterval(async () => {
      if (state.busy) {
        return;
      }
      state.busy = true;
      const { video, audio } = await this.received(connectionId);
      const at = performance.now();
      look(state.video, video.framesDecoded, at);
      look(state.audio, audio.packets, at);
      state.lookedAt = at;
      state.busy = false;
    }, 50);
    this.#watched.set(connectionId, state);
    return {};
  }

  /** Ends a measurement that watch() began. */
  gaps(connectionId) {
    const state = this.#watched.get(connectionId);
    clearInterval(state.timer);
    this.#watched.delete(connectionId);
    return { videoMs: state.video.gap, audioMs: state.audio.gap };
  }
}
