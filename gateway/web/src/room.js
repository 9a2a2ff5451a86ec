// The room: the grid, the controls, and what happens during a call.
import { Grid } from './grid.js';
import { NOTICES, noPicture } from './messages.js';
import { setToggle } from './toggle.js';

/** Milliseconds that a notice stays. */
const NOTICE_TIME = 7_000;
/** How many notices are shown at once. */
const MAX_NOTICES = 3;

const byId = (id) => document.getElementById(id);

export class Room {
  #grid;

  /**
   * @param {{microphone: () => void, camera: () => void, screen: () => void, leave: () => void}} actions what the buttons do
   */
  constructor({ microphone, camera, screen, leave }) {
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
   * @param {string} kind a key of NOTICES, or no-picture
   * @param {string} [name] of the person that it is about
   */
  notice(kind, name) {
    const notices = byId('notices');
    const notice = document.createElement('p');
    notice.className = 'notice';
    notice.dataset.testid = 'notice';
    notice.dataset.notice = kind;
    notice.textContent = kind === 'no-picture' ? noPicture(name) : NOTICES[kind];
    notices.querySelector(`[data-notice="${kind}"]`)?.remove();
    notices.append(notice);
    while (notices.children.length > MAX_NOTICES) {
      notices.firstElementChild.remove();
    }
    setTimeout(() => notice.remove(), NOTICE_TIME);
  }

  /** Forgets what a call left. */
  clear() {
    byId('banner').hidden = true;
    byId('notices').replaceChildren();
    this.#grid.render([]);
  }

  #soundBlocked() {
    this.notice('sound-blocked');
    document.addEventListener('pointerdown', () => this.#grid.play(), { once: true });
  }
}
