// Numbers and times as people read them.
import { fill, texts } from './texts.js';

const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];

/** A duration in its largest unit: 3 min. */
export function duration(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const [unit, length] = UNITS.find(([, size]) => whole >= size) ?? UNITS.at(-1);
  return fill(texts.units[unit], { n: Math.floor(whole / length) });
}

/** A length of media: 1:02:03. */
export function length(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const [first, ...others] = parts[0] ? parts : parts.slice(1);
  return [first, ...others.map((part) => String(part).padStart(2, '0'))].join(':');
}

/** A size: 3.4 MiB. */
export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(Math.max(Math.floor(Math.log2(Math.max(count, 1)) / 10), 0), units.length - 1);
  const number = count / 1024 ** step;
  return `${number < 10 && step ? number.toFixed(1) : Math.round(number)} ${units[step]}`;
}

/** A share in percent; an empty text of nothing. */
export function percent(part, whole) {
  return whole ? `${Math.round((100 * part) / whole)} %` : '–';
}
