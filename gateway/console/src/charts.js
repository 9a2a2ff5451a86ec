// Small charts. Each says in words what it shows.
import { h, svg } from './dom.js';
import { fill, texts } from './texts.js';

const WIDTH = 120;
const HEIGHT = 32;

/** The points of a line through values, from left to right, the largest at the top. */
export function points(values, most = Math.max(...values, 1)) {
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  return values.map((value, i) => [round(i * step), round(HEIGHT - 1.5 - (value / most) * (HEIGHT - 3))]);
}

const round = (number) => Math.round(number * 10) / 10;

/**
 * How a figure went since the page was opened.
 *
 * @param {string} name
 * @param {number[]} values the newest last
 * @param {{most?: number, unit?: string}} options the value at the top, and what stands behind numbers
 */
export function line(name, values, { most, unit = '' } = {}) {
  const now = values.at(-1) ?? 0;
  const label = fill(texts.page.chart, { name, now: `${now}${unit}`, most: `${Math.max(...values, 0)}${unit}`, since: texts.page.sinceOpened });
  const all = points(values.length > 1 ? values : [now, now], most);
  const text = all.map((point) => point.join()).join(' ');
  return svg('svg.line', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    svg('polygon.area', { points: `0,${HEIGHT} ${text} ${WIDTH},${HEIGHT}` }),
    svg('polyline.stroke', { points: text }));
}

/**
 * Parts of a whole, side by side.
 *
 * @param {{count: number, kind: string, text: string}[]} parts kind is a class for the colour
 */
export function share(parts) {
  const whole = parts.reduce((sum, { count }) => sum + count, 0);
  let left = 0;
  const bars = parts.filter(({ count }) => count).map(({ count, kind }) => {
    const x = left;
    left += (100 * count) / whole;
    return svg(`rect.${kind}`, { x: round(x), y: 0, width: round((100 * count) / whole), height: 10 });
  });
  return h('div.share', null,
    svg('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('rect.rest', { width: 100, height: 10 }), bars),
    h('ul.legend', null, parts.map(({ kind, text }) => h('li', null, h(`span.swatch.${kind}`, { 'aria-hidden': 'true' }), text))));
}

/**
 * How full something is.
 *
 * @param {number} part
 * @param {number} whole 0 is no bound
 * @param {string} text what it means
 */
export function meter(part, whole, text) {
  const filled = whole ? Math.min(part / whole, 1) : 0;
  const level = filled >= 0.9 ? 'high' : filled >= 0.7 ? 'middle' : 'low';
  return h('div.meter', null, h('span.meter-text', null, text),
    svg('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      svg('rect.rest', { width: 100, height: 10 }), svg(`rect.${level}`, { width: round(100 * filled), height: 10 })));
}
