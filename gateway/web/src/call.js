// One call: the only module that talks to openvidu-browser. It joins, publishes, subscribes to everybody, and keeps the list of
// people; who shows them only reads that list.
import { OpenVidu } from 'openvidu-browser';
import { chatData, chatText } from './chat.js';
import { clientData, displayName } from './people.js';
import { steps } from './publication.js';

/** Milliseconds for joining: connect() has no time limit of its own and may never settle. */
const JOIN_TIMEOUT = 15_000;
/** Milliseconds for a request in a call: those that a lost connection swallows never settle. */
const REQUEST_TIMEOUT = 15_000;
/** Milliseconds before a subscription that went wrong is tried again, by number of attempts. */
const SUBSCRIBE_AGAIN = [1_000, 3_000, 8_000];
/** The signal that says whether somebody's picture is a screen. The client marks only screens that it captured itself. */
const SCREEN_SIGNAL = 'mediarooms-screen';
/** The signal of what people write, as in OpenVidu's own applications. */
const CHAT_SIGNAL = 'chat';
/** Of the network qualities 0 to 5, those that a person should know of. */
const WEAK_QUALITY = 2;

/**
 * Why joining did not work, as a kind that messages.js knows.
 */
export class JoinProblem extends Error {
  constructor(problem) {
    super(problem);
    this.problem = problem;
  }
}

function within(milliseconds, promise, late) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late()), milliseconds);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/**
 * @typedef {object} Person
 * @property {string} id of the connection
 * @property {string} name
 * @property {boolean} self
 * @property {object | null} manager of the package, which fills video elements
 * @property {boolean} microphoneOn
 * @property {boolean} cameraOn
 * @property {boolean} screen whether the picture is a screen
 * @property {boolean} speaking
 * @property {boolean} weak whether the server finds the connection weak
 */

/**
 * @typedef {object} Listener
 * @property {() => void} changed people or their media changed
 * @property {(on: boolean) => void} reconnecting the connection was lost, or came back
 * @property {(reason: string) => void} ended the call is over; called once, and only after join
 * @property {(notice: string, name?: string) => void} notice something that the guest should know: a key of the notices in texts.js
 * @property {(message: {name: string, self: boolean, text: string}) => void} written somebody has written in the chat
 */

export class Call {
  /** @type {Map<string, Person>} by connection; written by this class only */
  people = new Map();
  room = '';
  canPublish = false;
  /** Whether the room is being recorded. */
  recording = false;

  #listener;
  #openvidu = null;
  #session = null;
  #publisher = null;
  #published = null;
  #joined = false;
  #ended = false;
  /** Changes of what is published happen one after another. */
  #last = Promise.resolve();

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  /**
   * Joins a room.
   *
   * @param {string} token
   * @param {string} name of the guest
   * @throws {JoinProblem | Error} what joinProblemOf understands
   */
  async join(token, name) {
    const deadline = performance.now() + JOIN_TIMEOUT;
    for (;;) {
      const attempt = this.#attempt(token, name);
      try {
        const left = Math.max(deadline - performance.now(), 0);
        const again = await within(left, attempt.done, () => new JoinProblem(attempt.refused() ? 'unreachable' : 'timeout'));
        if (!again) {
          return;
        }
      } catch (error) {
        attempt.abandon();
        throw error;
      }
      attempt.abandon();
    }
  }

  /**
   * One client object joins or does not. When its very first connection is refused, it goes on connecting but never joins;
   * it says sessionDisconnected when the server is back, and done resolves to true: a new attempt may work.
   */
  #attempt(token, name) {
    this.people.clear();
    this.recording = false;
    const openvidu = new OpenVidu();
    openvidu.enableProdMode();
    const session = openvidu.initSession();
    this.#openvidu = openvidu;
    this.#session = session;
    let refused = false;
    let abandoned = false;
    // The client itself has no public way to give up connecting; closing its socket is what its own disconnect() does.
    const close = () => openvidu.jsonRpcClient && openvidu.closeWs();
    session.on('reconnecting', () => {
      refused = true;
    });
    this.#listen(session);
    const done = new Promise((resolve, reject) => {
      session.on('sessionDisconnected', () => {
        if (abandoned) {
          close();
        }
        resolve(true);
      });
      session.connect(token, clientData(name)).then(() => resolve(false), reject);
    }).then((again) => {
      if (!again && !abandoned) {
        this.#enter();
      }
      return again;
    });
    return {
      done,
      refused: () => refused,
      abandon: () => {
        abandoned = true;
        done.catch(() => {}); // it was given up
        if (session.connection) {
          session.disconnect();
        }
        close();
      },
    };
  }

  #enter() {
    const { connection, sessionId } = this.#session;
    this.#joined = true;
    this.room = sessionId;
    this.canPublish = connection.role !== 'SUBSCRIBER';
    this.#listener.changed();
  }

  #listen(session) {
    const mine = (handler) => (event) => {
      if (session === this.#session && !this.#ended) {
        handler(event);
      }
    };
    const on = (name, handler) => session.on(name, mine(handler));
    on('connectionCreated', ({ connection }) => this.#arrive(connection, connection === session.connection));
    on('connectionDestroyed', ({ connection }) => {
      this.people.delete(connection.connectionId);
      this.#listener.changed();
    });
    on('streamCreated', ({ stream }) => this.#subscribe(session, stream, 0));
    on('streamDestroyed', ({ stream }) => this.#lose(stream));
    on('streamPropertyChanged', ({ stream }) => this.#follow(stream));
    on('publisherStartSpeaking', ({ connection }) => this.#speak(connection, true));
    on('publisherStopSpeaking', ({ connection }) => this.#speak(connection, false));
    on(`signal:${SCREEN_SIGNAL}`, ({ from, data }) => this.#mark(from?.connectionId, data === 'on'));
    on(`signal:${CHAT_SIGNAL}`, ({ from, data }) => this.#read(from, data));
    on('networkQualityLevelChanged', ({ connection, newValue }) => {
      const person = this.people.get(connection?.connectionId);
      if (person) {
        person.weak = newValue <= WEAK_QUALITY;
        this.#listener.changed();
      }
    });
    on('recordingStarted', () => this.#setRecording(true));
    on('recordingStopped', () => this.#setRecording(false));
    on('connectionPropertyChanged', ({ connection, changedProperty, newValue }) => {
      if (connection === session.connection && changedProperty === 'role') {
        this.canPublish = newValue !== 'SUBSCRIBER';
        this.#listener.notice(this.canPublish ? 'promoted' : 'demoted');
        this.#listener.changed();
      }
    });
    on('reconnecting', () => this.#joined && this.#listener.reconnecting(true));
    on('reconnected', () => this.#joined && this.#listener.reconnecting(false));
    on('sessionDisconnected', ({ reason }) => this.#joined && this.#end(reason));
  }

  #arrive(connection, self) {
    this.people.set(connection.connectionId, {
      id: connection.connectionId,
      name: displayName(connection.data),
      self,
      manager: null,
      microphoneOn: false,
      cameraOn: false,
      screen: false,
      speaking: false,
      weak: false,
    });
    if (!self && this.#published?.screen) {
      this.#announceScreen(true, [connection]);
    }
    this.#listener.changed();
  }

  #subscribe(session, stream, attempt) {
    const person = this.people.get(stream.connection.connectionId);
    if (!person) {
      return;
    }
    const failed = () => {
      // Somebody who left or published anew meanwhile is another stream's business.
      if (this.#ended || this.people.get(person.id) !== person || stream.connection.stream !== stream) {
        return;
      }
      if (attempt >= SUBSCRIBE_AGAIN.length) {
        this.#listener.notice('no-picture', person.name);
        return;
      }
      setTimeout(() => {
        if (!this.#ended && stream.connection.stream === stream && this.people.get(person.id) === person) {
          this.#subscribe(session, stream, attempt + 1);
        }
      }, SUBSCRIBE_AGAIN[attempt]);
    };
    try {
      person.manager = session.subscribe(stream, undefined, (error) => error && failed());
    } catch {
      failed();
    }
    this.#follow(stream);
  }

  /** Takes over what a stream says of itself. */
  #follow(stream) {
    const person = this.people.get(stream?.connection?.connectionId);
    if (!person) {
      return;
    }
    person.microphoneOn = Boolean(stream.hasAudio && stream.audioActive);
    person.cameraOn = Boolean(stream.hasVideo && stream.videoActive);
    if (!person.microphoneOn) {
      person.speaking = false;
    }
    this.#listener.changed();
  }

  #lose(stream) {
    const person = this.people.get(stream.connection?.connectionId);
    if (!person || person.manager?.stream !== stream) {
      return;
    }
    Object.assign(person, { manager: null, microphoneOn: false, cameraOn: false, screen: false, speaking: false, weak: false });
    this.#listener.changed();
  }

  #speak(connection, speaking) {
    const person = this.people.get(connection?.connectionId);
    if (person && person.speaking !== (speaking && person.microphoneOn)) {
      person.speaking = speaking && person.microphoneOn;
      this.#listener.changed();
    }
  }

  #mark(id, screen) {
    const person = this.people.get(id);
    if (person && !person.self) {
      person.screen = screen;
      this.#listener.changed();
    }
  }

  #setRecording(on) {
    if (this.recording !== on) {
      this.recording = on;
      this.#listener.notice(on ? 'recording-started' : 'recording-stopped');
      this.#listener.changed();
    }
  }

  #read(from, data) {
    const text = chatText(data);
    if (text) {
      const self = from?.connectionId === this.#session.connection?.connectionId;
      // A signal without a sender comes from the server's side.
      const name = from ? this.people.get(from.connectionId)?.name ?? displayName(from.data) : this.room;
      this.#listener.written({ name, self, text });
    }
  }

  /**
   * Writes to everybody, oneself too: that shows that it went out.
   *
   * @param {string} text
   * @returns {Promise<void>} rejects when it did not work
   */
  async write(text) {
    const self = this.people.get(this.#session.connection.connectionId);
    const sent = this.#session.signal({ type: CHAT_SIGNAL, data: chatData(text, self?.name ?? '') });
    try {
      await within(REQUEST_TIMEOUT, sent, () => new Error('writing takes too long'));
    } catch (error) {
      this.#listener.notice('chat-failed');
      throw error;
    }
  }

  #announceScreen(on, to = []) {
    // It only makes the picture fit better: a signal that is lost does not matter.
    this.#session.signal({ type: SCREEN_SIGNAL, data: on ? 'on' : 'off', to }).catch(() => {});
  }

  #end(reason) {
    this.#ended = true;
    this.people.clear();
    this.#listener.ended(reason);
  }

  /**
   * Publishes what is wanted, with as little change as possible.
   *
   * @param {import('./publication.js').Wanted} wanted
   * @returns {Promise<void>} rejects when it did not work; error.name OPENVIDU_PERMISSION_DENIED when a viewer tries to publish
   */
  publish(wanted) {
    const change = this.#last.then(() => this.#apply(wanted));
    this.#last = change.catch(() => {});
    return change;
  }

  async #apply(wanted) {
    for (const step of steps(this.#published, wanted)) {
      if (this.#ended) {
        return;
      }
      await within(REQUEST_TIMEOUT, this.#step(step, wanted), () => new Error(`${step} takes too long`));
    }
    if (this.#published) {
      this.#follow(this.#publisher.stream);
    }
  }

  async #step(step, wanted) {
    switch (step) {
      case 'publish':
        return this.#publish(wanted);
      case 'unpublish':
        return this.#unpublish();
      case 'mute':
      case 'unmute':
        this.#publisher.publishAudio(step === 'unmute');
        this.#published.audioOn = step === 'unmute';
        return undefined;
      case 'hide':
        await this.#publisher.publishVideo(false, true);
        this.#published.videoOn = false;
        return undefined;
      case 'show':
        await this.#publisher.publishVideo(true, wanted.video.clone());
        Object.assign(this.#published, { videoOn: true, video: wanted.video });
        return undefined;
      case 'replace-audio':
        await this.#publisher.replaceTrack(wanted.audio.clone());
        this.#published.audio = wanted.audio;
        return undefined;
      case 'replace-video':
        await this.#publisher.replaceTrack(wanted.video.clone());
        this.#published.video = wanted.video;
        return undefined;
      default:
        throw new Error(`unknown step ${step}`);
    }
  }

  async #publish(wanted) {
    // The package stops the tracks that it is given when it is done with them: it gets copies.
    const publisher = await this.#openvidu.initPublisherAsync(undefined, {
      audioSource: wanted.audio?.clone() ?? false,
      videoSource: wanted.video?.clone() ?? false,
      publishAudio: Boolean(wanted.audio) && wanted.audioOn,
      publishVideo: Boolean(wanted.video) && wanted.videoOn,
      mirror: !wanted.screen,
    });
    publisher.on('streamDestroyed', ({ reason }) => {
      if (publisher !== this.#publisher) {
        return;
      }
      this.#publisher = null;
      this.#published = null;
      this.#lose(publisher.stream);
      if (reason.startsWith('forceUnpublish') && !this.#ended) {
        this.#listener.notice('unpublished');
      }
    });
    publisher.on('publisherStartSpeaking', ({ connection }) => this.#speak(connection, true));
    publisher.on('publisherStopSpeaking', ({ connection }) => this.#speak(connection, false));
    try {
      await within(REQUEST_TIMEOUT - 1_000, this.#session.publish(publisher), () => new Error('publishing takes too long'));
    } catch (error) {
      for (const track of publisher.stream.getMediaStream()?.getTracks() ?? []) {
        track.stop();
      }
      throw error;
    }
    this.#publisher = publisher;
    this.#published = {
      ...wanted,
      audioOn: Boolean(wanted.audio) && wanted.audioOn,
      videoOn: Boolean(wanted.video) && wanted.videoOn,
    };
    const self = this.people.get(this.#session.connection.connectionId);
    if (self) {
      self.manager = publisher;
      self.screen = wanted.screen;
    }
    if (wanted.screen) {
      this.#announceScreen(true);
    }
    this.#follow(publisher.stream);
  }

  async #unpublish() {
    await this.#session.unpublish(this.#publisher);
    this.#publisher = null;
    this.#published = null;
  }

  /** Leaves. The listener hears of it as of every other end. */
  leave() {
    if (this.#joined && !this.#ended) {
      this.#session.disconnect();
    }
  }
}
