// The room: the grid, the controls, and what happens during a call.
import { Chat } from './chat.js';
import { Devices } from './devices.js';
import { Grid } from './grid.js';
import { notice as noticeText } from './messages.js';
import { setToggle } from './toggle.js';

/** Milliseconds that a notice stays. */
const NOTICE_TIME = 7_000;
/** How many notices are shown at once. */
const MAX_NOTICES = 3;

const byId = (id) => document.getElementById(id);

export class Room {
  #grid;
  #chat;
  #devices;

  /**
   * @param {import('./media.js').Media} media
   * @param {object} actions what the guest can do
   * @param {() => void} actions.microphone
   * @param {() => void} actions.camera
   * @param {() => void} actions.screen
   * @param {() => void} actions.leave
   * @param {(device: 'camera' | 'microphone', id: string) => void} actions.choose uses another device
   * @param {(text: string) => Promise<void>} actions.write to everybody
   */
  constructor(media, { microphone, camera, screen, leave, choose, write }) {
    this.#chat = new Chat(write, () => {
      document.body.classList.toggle('chatting', !byId('chat').hidden);
      this.#grid.layOut();
    });
    const field = (device) => ({ select: byId(`call-${device}-select`), field: byId(`call-${device}-field`) });
    this.#devices = new Devices(media, { camera: field('camera'), microphone: field('microphone') }, choose);
    byId('devices-open').addEventListener('click', async () => {
      await this.#devices.render();
      byId('devices-dialog').showModal();
    });
    this.#grid = new Grid(byId('grid'), byId('tile'), () => this.#soundBlocked());
    byId('microphone').addEventListener('click', microphone);
    byId('camera').addEventListener('click', camera);
    byId('screen').addEventListener('click', screen);
    byId('leave').addEventListener('click', leave);
  }

  /**
   * Shows a call.
   *
   * @param {import('./call.js').Call} call
   */
  render(call) {
    byId('room-name').textContent = call.room;
    byId('count').textContent = String(call.people.size);
    byId('alone').hidden = call.people.size !== 1;
    byId('recording').hidden = !call.recording;
    // A viewer alone has nothing to show of himself.
    this.#grid.render([...call.people.values()].filter(({ self }) => !self || call.canPublish));
  }

  /** Shows what microphone, camera and screen do. Viewers have no buttons for them. */
  renderMedia({ microphoneOn, cameraOn, sharing, canPublish, canShare }) {
    setToggle(byId('microphone'), microphoneOn, 'microphone');
    setToggle(byId('camera'), cameraOn, 'camera');
    setToggle(byId('screen'), sharing, 'screen');
    byId('microphone').hidden = !canPublish;
    byId('camera').hidden = !canPublish;
    byId('screen').hidden = !(canPublish && canShare);
    byId('devices-open').hidden = !canPublish;
    if (byId('devices-dialog').open) {
      this.#devices.render();
    }
  }

  /** Shows that the connection was lost, or is back. */
  setReconnecting(on) {
    if (byId('banner').hidden === on) {
      byId('banner').hidden = !on;
      if (!on) {
        this.notice('reconnected');
      }
    }
  }

  /**
   * Shows a message for some seconds.
   *
   * @param {string} kind a key of the notices in texts.js
   * @param {string} [name] of the person that it is about
   */
  notice(kind, name) {
    const notices = byId('notices');
    const notice = document.createElement('p');
    notice.className = 'notice';
    notice.dataset.testid = 'notice';
    notice.dataset.notice = kind;
    notice.textContent = noticeText(kind, name);
    notices.querySelector(`[data-notice="${kind}"]`)?.remove();
    notices.append(notice);
    while (notices.children.length > MAX_NOTICES) {
      notices.firstElementChild.remove();
    }
    setTimeout(() => notice.remove(), NOTICE_TIME);
  }

  /** Shows what somebody wrote. */
  written(message) {
    this.#chat.add(message);
  }

  /** Forgets what a call left. */
  clear() {
    byId('devices-dialog').close();
    this.#chat.clear();
    document.body.classList.remove('chatting');
    byId('banner').hidden = true;
    byId('notices').replaceChildren();
    this.#grid.render([]);
  }

  #soundBlocked() {
    this.notice('sound-blocked');
    document.addEventListener('pointerdown', () => this.#grid.play(), { once: true });
  }
}
