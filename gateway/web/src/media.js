// The guest's own microphone and camera: the only module that asks the browser for devices, and the only owner of what it gets.
import { fill, texts } from './texts.js';

const CAMERA = { width: { ideal: 960 }, height: { ideal: 540 }, frameRate: { ideal: 24, max: 30 } };
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** insecure, denied, absent or busy, for an error of getUserMedia. */
export function problemOf(error) {
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'absent';
    case 'TypeError':
      return 'insecure';
    default:
      return 'busy';
  }
}

export class Media {
  /** @type {MediaStreamTrack | null} enabled when microphoneOn */
  microphone = null;
  /** @type {MediaStreamTrack | null} only while the camera is on, so that its light goes out */
  camera = null;
  microphoneOn = true;
  cameraOn = true;
  /** @type {{microphone?: string, camera?: string}} why a device can't be used */
  problems = {};

  #chosen = { microphone: '', camera: '' };
  #onChange;
  #onLost;
  /** Every wish waits for the one before, so that none gets a track that nobody owns. */
  #last = Promise.resolve();

  /**
   * @param {() => void} onChange is called after every change
   * @param {(device: 'microphone' | 'camera') => void} onLost is called when a device is unplugged or taken away
   */
  constructor(onChange, onLost) {
    this.#onChange = onChange;
    this.#onLost = onLost;
  }

  /** Asks for what is wanted, in one question to the person when possible. Never rejects: see problems. */
  open() {
    return this.#queue(async () => {
      const microphone = this.microphoneOn && !this.microphone;
      const camera = this.cameraOn && !this.camera;
      if (microphone && camera) {
        try {
          this.#take(await this.#ask({ microphone, camera }));
          return;
        } catch {
          // One of them may be there: they are asked for one by one, which also says which is not.
        }
      }
      if (microphone) {
        await this.#open('microphone');
      }
      if (camera) {
        await this.#open('camera');
      }
    });
  }

  /** Waits until every wish is fulfilled or has failed: the person may still have to allow a device. */
  settled() {
    return this.#last;
  }

  /** Turns the microphone on or off. It stays open when off, so that it comes back at once. */
  setMicrophone(on) {
    return this.#queue(async () => {
      this.microphoneOn = on;
      if (on && !this.microphone) {
        await this.#open('microphone');
      } else if (this.microphone) {
        this.microphone.enabled = on;
      }
    });
  }

  /** Turns the camera on or off. */
  setCamera(on) {
    return this.#queue(async () => {
      this.cameraOn = on;
      if (on && !this.camera) {
        await this.#open('camera');
      } else if (!on) {
        this.#drop('camera');
      }
    });
  }

  /**
   * Uses another device from now on. What is off stays off, unless it is off because the device before did not work.
   *
   * @param {'microphone' | 'camera'} device
   * @param {string} id as the browser gave it
   */
  choose(device, id) {
    return this.#queue(async () => {
      this.#chosen[device] = id;
      this.#drop(device);
      this[`${device}On`] ||= Boolean(this.problems[device]);
      if (this[`${device}On`]) {
        await this.#open(device);
      }
    });
  }

  /** The devices there are: {microphone: [{id, label}], camera: [...]}. Their labels are known only after open. */
  async devices() {
    const found = { microphone: [], camera: [] };
    for (const { kind, deviceId, label } of (await navigator.mediaDevices?.enumerateDevices()) ?? []) {
      const device = { audioinput: 'microphone', videoinput: 'camera' }[kind];
      if (device && deviceId) {
        found[device].push({ id: deviceId, label: label || fill(texts.page.device, { kind: texts.page[device], number: found[device].length + 1 }) });
      }
    }
    return found;
  }

  /** The device in use, or ''. */
  current(device) {
    return this[device]?.getSettings().deviceId ?? this.#chosen[device];
  }

  /** Lets go of all devices. */
  close() {
    return this.#queue(async () => {
      this.#drop('microphone');
      this.#drop('camera');
    });
  }

  #queue(wish) {
    this.#last = this.#last.then(wish).finally(() => this.#onChange());
    return this.#last;
  }

  async #open(device) {
    try {
      this.#take(await this.#ask({ [device]: true }));
    } catch (error) {
      this.problems[device] = problemOf(error);
      this[`${device}On`] = false;
    }
  }

  #ask({ microphone, camera }) {
    if (!navigator.mediaDevices?.getUserMedia) {
      return Promise.reject(new TypeError('this page may not ask for devices'));
    }
    const chosen = (device) => (this.#chosen[device] ? { deviceId: { exact: this.#chosen[device] } } : {});
    return navigator.mediaDevices.getUserMedia({
      audio: microphone ? { ...MICROPHONE, ...chosen('microphone') } : false,
      video: camera ? { ...CAMERA, ...chosen('camera') } : false,
    });
  }

  #take(stream) {
    for (const track of stream.getTracks()) {
      const device = track.kind === 'audio' ? 'microphone' : 'camera';
      track.contentHint = device === 'camera' ? 'motion' : 'speech';
      track.addEventListener('ended', () => {
        if (this[device] === track) {
          this[device] = null;
          this[`${device}On`] = false;
          this.#onChange();
          this.#onLost(device);
        }
      });
      this[device] = track;
      delete this.problems[device];
    }
  }

  #drop(device) {
    const track = this[device];
    this[device] = null;
    track?.stop();
  }
}
