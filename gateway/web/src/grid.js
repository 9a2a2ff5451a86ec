// The grid of people: one tile each, as large as the screen allows.
import { bestGrid } from './layout.js';
import { colour, initials } from './people.js';

/** More people than that share the last tile. */
export const MAX_TILES = 25;
/** How many colours room.css has for people without a picture. */
const COLOURS = 8;
/** Widths in CSS pixels below which tiles lie closer together and have smaller names. */
const SMALL = 180;
const TINY = 110;
/** Between tiles, in CSS pixels. */
const GAP = 10;
const SMALL_GAP = 6;

export class Grid {
  #area;
  #template;
  #onSoundBlocked;
  /** @type {Map<string, {element: HTMLElement, video: HTMLVideoElement, manager: object | null}>} by connection */
  #tiles = new Map();
  #more;

  /**
   * @param {HTMLElement} area to fill
   * @param {HTMLTemplateElement} template of a tile
   * @param {() => void} onSoundBlocked is called when the browser does not play a tile's sound without a gesture
   */
  constructor(area, template, onSoundBlocked) {
    this.#area = area;
    this.#template = template;
    this.#onSoundBlocked = onSoundBlocked;
    this.#more = document.createElement('li');
    this.#more.className = 'tile more';
    this.#more.dataset.testid = 'more-people';
    new ResizeObserver(() => this.layOut()).observe(area);
  }

  /**
   * Shows exactly these people: whoever sends something first, in the order in which they came.
   *
   * @param {Iterable<import('./call.js').Person>} people
   */
  render(people) {
    const all = [...people].sort((a, b) => Number(Boolean(b.manager || b.self)) - Number(Boolean(a.manager || a.self)));
    const shown = all.length > MAX_TILES ? all.slice(0, MAX_TILES - 1) : all;
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, tile] of this.#tiles) {
      if (!ids.has(id)) {
        tile.element.remove();
        tile.video.srcObject = null;
        this.#tiles.delete(id);
      }
    }
    shown.forEach((person, index) => {
      const tile = this.#tiles.get(person.id) ?? this.#add(person);
      this.#update(tile, person);
      if (this.#area.children[index] !== tile.element) {
        this.#area.insertBefore(tile.element, this.#area.children[index] ?? null);
      }
    });
    if (shown.length < all.length) {
      this.#more.textContent = `+${all.length - shown.length} more`;
      this.#area.append(this.#more);
    } else {
      this.#more.remove();
    }
    this.layOut();
  }

  /** Gives tiles the size that the area allows. */
  layOut() {
    const { clientWidth, clientHeight, children } = this.#area;
    let gap = GAP;
    let best = bestGrid(children.length, clientWidth, clientHeight, gap);
    if (best.width < SMALL) {
      gap = SMALL_GAP;
      best = bestGrid(children.length, clientWidth, clientHeight, gap);
    }
    this.#area.style.setProperty('--gap', `${gap}px`);
    this.#area.style.setProperty('--tile-width', `${best.width}px`);
    this.#area.style.setProperty('--tile-height', `${best.height}px`);
    this.#area.classList.toggle('small', best.width < SMALL);
    this.#area.classList.toggle('tiny', best.width < TINY);
  }

  /** Plays what the browser held back. */
  play() {
    for (const { video } of this.#tiles.values()) {
      this.#play(video);
    }
  }

  #add(person) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    const video = element.querySelector('video');
    element.dataset.connectionId = person.id;
    element.dataset.self = String(person.self);
    element.dataset.colour = String(colour(person.id, COLOURS));
    // A picture is shown when there is one: before, and after its source went, the initials are.
    const live = (on) => () => element.classList.toggle('live', on);
    video.addEventListener('loadeddata', live(true));
    video.addEventListener('playing', live(true));
    video.addEventListener('emptied', live(false));
    const tile = { element, video, manager: null };
    this.#tiles.set(person.id, tile);
    return tile;
  }

  #update(tile, person) {
    const { element, video } = tile;
    if (tile.manager !== person.manager) {
      tile.manager = person.manager;
      if (person.manager) {
        person.manager.addVideoElement(video);
        this.#play(video);
      } else {
        video.srcObject = null;
      }
    }
    element.dataset.microphone = person.microphoneOn ? 'on' : 'off';
    element.dataset.camera = person.cameraOn ? 'on' : 'off';
    element.dataset.speaking = String(person.speaking);
    element.dataset.screen = String(person.screen);
    const name = person.self ? `${person.name} (you)` : person.name;
    element.querySelector('.name').textContent = name;
    element.querySelector('.avatar').textContent = initials(person.name);
    element.querySelector('.muted').hidden = person.microphoneOn;
    const silent = person.microphoneOn ? '' : ', microphone off';
    element.setAttribute('aria-label', `${name}${silent}${person.cameraOn ? '' : ', camera off'}`);
  }

  #play(video) {
    video.play().catch((error) => {
      // AbortError: the source changed meanwhile, and the new one is played on its own.
      if (error.name === 'NotAllowedError') {
        this.#onSoundBlocked();
      }
    });
  }
}
