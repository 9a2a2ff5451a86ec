// The chat: what people write to each other during a call. It is kept by the pages only: who comes later does not see what was
// written before.
import { fill, texts } from './texts.js';

/** Characters of a message. */
const MAX_TEXT = 2000;
/** Messages that are kept. */
const MAX_MESSAGES = 300;
/** Above so many unread messages the badge says "9+". */
const MAX_UNREAD = 9;

const byId = (id) => document.getElementById(id);

/**
 * The data of a signal, as OpenVidu's own applications write it.
 *
 * @param {string} text
 * @param {string} nickname of who writes
 */
export function chatData(text, nickname) {
  return JSON.stringify({ message: tidy(text), nickname });
}

/**
 * What somebody has written, or "".
 *
 * @param {string | undefined} data of the signal: an object with a message, or the text itself
 */
export function chatText(data) {
  let text = data ?? '';
  try {
    const value = JSON.parse(text);
    text = value !== null && typeof value === 'object' ? value.message : text;
  } catch {
    // It is the text itself.
  }
  return typeof text === 'string' ? tidy(text) : '';
}

/** Control characters but line breaks, and those that turn the direction of writing, would disturb what is around. */
function tidy(text) {
  const clean = text.replace(/\r\n?/g, '\n').replace(/[^\P{Cc}\n]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, ' ');
  return [...clean.trim()].slice(0, MAX_TEXT).join('');
}

export class Chat {
  #unread = 0;
  #changed;

  /**
   * @param {(text: string) => Promise<void>} send rejects when it did not work; what was written stays then
   * @param {() => void} changed is called when the panel was opened or closed
   */
  constructor(send, changed) {
    this.#changed = changed;
    byId('chat-toggle').addEventListener('click', () => this.setOpen(byId('chat').hidden));
    byId('chat-close').addEventListener('click', () => this.setOpen(false));
    byId('chat').addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        this.setOpen(false);
      }
    });
    const field = byId('chat-text');
    field.maxLength = MAX_TEXT;
    field.addEventListener('keydown', (event) => {
      // A line break by Shift; and Enter also ends the input of Japanese or Chinese words.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        byId('chat-form').requestSubmit();
      }
    });
    byId('chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = field.value;
      if (!text.trim()) {
        return;
      }
      field.value = '';
      send(text).catch(() => {
        field.value = field.value || text;
      });
    });
  }

  /** Opens or closes the panel. */
  setOpen(open) {
    if (byId('chat').hidden !== open) {
      return;
    }
    byId('chat').hidden = !open;
    byId('chat-toggle').setAttribute('aria-expanded', String(open));
    if (open) {
      this.#setUnread(0);
      this.#scrollDown();
      byId('chat-text').focus();
    } else {
      byId('chat-toggle').focus();
    }
    this.#changed();
  }

  /**
   * Shows a message.
   *
   * @param {{name: string, self: boolean, text: string}} message
   */
  add({ name, self, text }) {
    const item = byId('chat-message').content.firstElementChild.cloneNode(true);
    item.dataset.self = String(self);
    item.querySelector('.author').textContent = self ? texts.page.you : name;
    item.querySelector('time').textContent = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    item.querySelector('.text').textContent = text;
    const list = byId('chat-list');
    const log = byId('chat-log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    list.append(item);
    while (list.children.length > MAX_MESSAGES) {
      list.firstElementChild.remove();
    }
    byId('chat-empty').hidden = true;
    if (byId('chat').hidden) {
      this.#setUnread(this.#unread + Number(!self));
    } else if (atEnd || self) {
      this.#scrollDown();
    }
  }

  /** Forgets everything. */
  clear() {
    byId('chat').hidden = true;
    byId('chat-toggle').setAttribute('aria-expanded', 'false');
    byId('chat-list').replaceChildren();
    byId('chat-empty').hidden = false;
    byId('chat-text').value = '';
    this.#setUnread(0);
  }

  #setUnread(count) {
    this.#unread = count;
    const badge = byId('chat-unread');
    badge.hidden = count === 0;
    badge.textContent = count > MAX_UNREAD ? `${MAX_UNREAD}+` : String(count);
    byId('chat-toggle').setAttribute('aria-label', count === 0 ? texts.page.chat : fill(texts.page.chatUnread, { count: badge.textContent }));
  }

  #scrollDown() {
    const log = byId('chat-log');
    log.scrollTop = log.scrollHeight;
  }
}
