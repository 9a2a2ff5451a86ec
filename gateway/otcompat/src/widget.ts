// What is shown of a publisher or subscriber: the container that applications know by its classes, and the video in it.

import { OTError } from './errors.ts';
import { randomId } from './model.ts';
import style from './style.css';

/** Options of publishers and subscribers that are about what is shown. */
export interface WidgetOptions {
  insertMode?: 'replace' | 'after' | 'before' | 'append';
  insertDefaultUI?: boolean;
  showControls?: boolean;
  width?: number | string;
  height?: number | string;
  fitMode?: 'cover' | 'contain';
  mirror?: boolean;
  name?: string;
  style?: Record<string, string>;
}

export type Target = string | HTMLElement | null | undefined;

let styled = false;

/** Adds the stylesheet, once. A constructed one is not stopped by the page's Content-Security-Policy. */
function addStyle(): void {
  if (!styled) {
    styled = true;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  }
}

/** Whether a value is a place in the document. */
export function isTarget(value: unknown): value is Target {
  return typeof value === 'string' || value instanceof HTMLElement || value === null || value === undefined;
}

function find(target: Target): HTMLElement | undefined {
  if (typeof target !== 'string') {
    return target ?? undefined;
  }
  const found = document.getElementById(target);
  if (!found) {
    throw new OTError('OT_INVALID_PARAMETER', `there is no element with the id ${target}`);
  }
  return found;
}

const size = (value: number | string) => typeof value === 'number' || /^\d+$/.test(value) ? `${value}px` : value;

/** The container of a publisher or subscriber, or, without the default UI, just its video. */
export class Widget {
  readonly id: string;
  /** The container; undefined without the default UI. */
  readonly element?: HTMLElement;
  readonly video = document.createElement('video');
  /** Is called when the user presses the button for mute. */
  onmute?: () => void;

  #mute = document.createElement('button');
  #level = document.createElement('div');
  #archiving = document.createElement('div');
  #onplaying: (() => void)[] = [];

  constructor(kind: 'publisher' | 'subscriber', target: Target, readonly options: WidgetOptions) {
    addStyle();
    this.video.className = 'OT_video-element';
    this.video.autoplay = true;
    this.video.playsInline = true;
    this.video.addEventListener('playing', () => this.#playing());
    const generated = `OT_${randomId()}`;
    if (options.insertDefaultUI === false) {
      this.id = generated;
      return;
    }
    const place = find(target);
    const replaces = place && (options.insertMode ?? 'replace') === 'replace';
    this.element = replaces ? place : document.createElement('div');
    this.id = (replaces && place.id) || generated;
    this.element.id = this.id;
    this.element.replaceChildren(...this.#build(kind));
    this.element.classList.add('OT_root', `OT_${kind}`, 'OT_loading', `OT_fit-mode-${options.fitMode ?? 'cover'}`);
    this.element.classList.toggle('OT_mirrored', options.mirror ?? false);
    this.element.style.width = size(options.width ?? 264);
    this.element.style.height = size(options.height ?? 198);
    if (!replaces) {
      this.#insert(place);
    }
  }

  #build(kind: 'publisher' | 'subscriber'): HTMLElement[] {
    const div = (name: string, ...children: (Node | string)[]) => {
      const one = document.createElement('div');
      one.className = name;
      one.append(...children);
      return one;
    };
    this.#level.className = 'OT_audio-level-meter__value';
    this.#archiving.className = 'OT_archiving OT_archiving-off';
    const container = div('OT_widget-container', this.video, div('OT_video-loading'), div('OT_audio-level-meter', this.#level));
    if (kind === 'publisher') {
      container.append(this.#archiving);
    }
    if (this.options.showControls === false) {
      return [container];
    }
    this.#mute.className = 'OT_mute';
    this.#mute.type = 'button';
    this.#mute.addEventListener('click', () => this.onmute?.());
    this.muted = false;
    return [container, div('OT_bar', div('OT_name', this.options.name ?? ''), this.#mute)];
  }

  #insert(place: HTMLElement | undefined): void {
    const element = this.element as HTMLElement;
    switch (this.options.insertMode) {
      case 'before': place ? place.before(element) : document.body.append(element); break;
      case 'after': place ? place.after(element) : document.body.append(element); break;
      default: (place ?? document.body).append(element);
    }
  }

  #playing(): void {
    this.element?.classList.remove('OT_loading');
    this.#onplaying.splice(0).forEach((call) => call());
  }

  /** Calls back once the video plays, or at once when there is none to wait for. */
  whenPlaying(call: () => void): void {
    this.#onplaying.push(call);
  }

  /** Shows that nothing is waited for any more, also where no video plays. */
  ready(hasVideo: boolean): void {
    this.audioOnly = !hasVideo;
    if (!hasVideo) {
      this.#playing();
    }
  }

  set audioOnly(only: boolean) {
    this.element?.classList.toggle('OT_audio-only', only);
  }

  /** Whether there is no video, and the level of the sound is shown in its place. */
  get audioOnly(): boolean {
    return this.element?.classList.contains('OT_audio-only') ?? false;
  }

  /** Shows that the session is archived, or is not any more. */
  set archiving(on: boolean) {
    this.#archiving.className = `OT_archiving OT_archiving-${on ? 'on' : 'off'} OT_mode-on`;
    this.#archiving.textContent = on ? 'Recording' : '';
  }

  set muted(muted: boolean) {
    this.#mute.textContent = muted ? 'Unmute' : 'Mute';
    this.#mute.classList.toggle('OT_active', muted);
    this.#mute.setAttribute('aria-pressed', String(muted));
  }

  /** Shows a level of sound from 0 to 1. */
  set level(level: number) {
    this.#level.style.setProperty('--level', `${Math.round(Math.min(1, level) * 100)}%`);
  }

  /** Covers the container with a message. */
  say(text: string): void {
    const message = document.createElement('div');
    message.className = 'OT_message';
    message.textContent = text;
    this.element?.classList.remove('OT_loading');
    this.element?.append(message);
  }

  /** The picture that is shown, as PNG in Base64; null while there is none. */
  picture(): string | null {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth || !videoHeight) {
      return null;
    }
    const canvas = Object.assign(document.createElement('canvas'), { width: videoWidth, height: videoHeight });
    canvas.getContext('2d')?.drawImage(this.video, 0, 0);
    return canvas.toDataURL('image/png').replace(/^data:image\/png;base64,/, '');
  }

  remove(): void {
    this.video.srcObject = null;
    this.element?.remove();
  }
}
