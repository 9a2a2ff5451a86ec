// The grid of people: one tile each, as large as the screen allows.
import { bestGrid, spotlight } from './layout.js';
import { colour, initials } from './people.js';
import { fill, texts } from './texts.js';

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

/** Small tiles have smaller names. */
function setSize(tile, width) {
  tile.classList.toggle('small', width < SMALL);
  tile.classList.toggle('tiny', width < TINY);
}

export class Grid {
  #area;
  #template;
  #onSoundBlocked;
  /** @type {Map<string, {element: HTMLElement, video: HTMLVideoElement, manager: object | null}>} by connection */
  #tiles = new Map();
  #more;
  /** @type {Iterable<import('./call.js').Person>} those shown last */
  #people = [];
  /** @type {string | null} the connection that the guest wants to see large */
  #pinned = null;
  /** @type {string | null} the connection whose screen is not to be large, though it would be by itself */
  #dismissed = null;

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
    this.#people = [...people];
    const large = this.#large();
    const rank = (person) => (person === large ? 2 : Number(Boolean(person.manager || person.self)));
    const all = [...this.#people].sort((a, b) => rank(b) - rank(a));
    const places = this.#places(all.length, Boolean(large));
    const most = Math.min(MAX_TILES, places?.length ?? MAX_TILES);
    const shown = all.length > most ? all.slice(0, most - 1) : all;
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
      this.#update(tile, person, person === large);
      if (this.#area.children[index] !== tile.element) {
        this.#area.insertBefore(tile.element, this.#area.children[index] ?? null);
      }
    });
    if (shown.length < all.length) {
      this.#more.textContent = fill(texts.page.more, { count: all.length - shown.length });
      this.#area.append(this.#more);
    } else {
      this.#more.remove();
    }
    this.#area.classList.toggle('spotlight', Boolean(places));
    this.#layOut(places);
  }

  /** Lays out anew who is shown: the area may have another size. */
  layOut() {
    this.render(this.#people);
  }

  /** The person that is seen large: the one that the guest has chosen, or else one who shows a screen; null for none. */
  #large() {
    const pinned = this.#people.find(({ id }) => id === this.#pinned);
    if (pinned || this.#people.length < 2) {
      return pinned ?? null;
    }
    return this.#people.find(({ id, screen, self, cameraOn }) => screen && cameraOn && !self && id !== this.#dismissed) ?? null;
  }

  /** Where tiles are when one of them is large; null when all are equal. */
  #places(count, large) {
    const { clientWidth, clientHeight } = this.#area;
    return large ? spotlight(count, clientWidth, clientHeight, SMALL_GAP) : null;
  }

  #toggleLarge(id) {
    const large = this.#large()?.id === id;
    this.#pinned = large ? null : id;
    this.#dismissed = large ? id : null;
    this.render(this.#people);
  }

  /** Gives tiles the size that the area allows. */
  #layOut(places) {
    const { clientWidth, clientHeight, children } = this.#area;
    if (places) {
      [...children].forEach((tile, i) => {
        const { left, top, width, height } = places[i];
        tile.style.cssText = `--tile-width: ${width}px; --tile-height: ${height}px; left: ${left}px; top: ${top}px`;
        setSize(tile, width);
      });
      return;
    }
    let gap = GAP;
    let best = bestGrid(children.length, clientWidth, clientHeight, gap);
    if (best.width < SMALL) {
      gap = SMALL_GAP;
      best = bestGrid(children.length, clientWidth, clientHeight, gap);
    }
    this.#area.style.setProperty('--gap', `${gap}px`);
    this.#area.style.setProperty('--tile-width', `${best.width}px`);
    this.#area.style.setProperty('--tile-height', `${best.height}px`);
    for (const tile of children) {
      tile.style.cssText = '';
      setSize(tile, best.width);
    }
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
    element.querySelector('.pin').addEventListener('click', () => this.#toggleLarge(person.id));
    const tile = { element, video, manager: null };
    this.#tiles.set(person.id, tile);
    return tile;
  }

  #update(tile, person, large) {
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
    const name = person.self ? fill(texts.page.nameOfYou, { name: person.name }) : person.name;
    element.querySelector('.name').textContent = name;
    element.querySelector('.avatar').textContent = initials(person.name);
    // Pictures have no property for it.
    element.querySelector('.muted').toggleAttribute('hidden', person.microphoneOn);
    element.querySelector('.weak').toggleAttribute('hidden', !person.weak);
    element.dataset.large = String(large);
    const pin = element.querySelector('.pin');
    pin.setAttribute('aria-pressed', String(large));
    pin.setAttribute('aria-label', fill(texts.page.showNameLarge, { name }));
    pin.title = large ? texts.page.showEqual : texts.page.showLarge;
    const { microphoneOff, cameraOffShort, weakConnection } = texts.page;
    const facts = [!person.microphoneOn && microphoneOff, !person.cameraOn && cameraOffShort, person.weak && weakConnection];
    element.setAttribute('aria-label', [name, ...facts.filter(Boolean)].join(', '));
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
