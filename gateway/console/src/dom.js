// Elements, made of texts and never of markup, and how what is shown becomes what is wanted without losing the focus.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. Attributes that are false, null or undefined are left out.
 *
 * @param {string} name tag, with classes: div.card.wide
 * @param {Record<string, unknown> | null} attributes
 * @param {...(Node | string | number | false | null | undefined | readonly unknown[])} children
 */
export function h(name, attributes, ...children) {
  return build(document.createElement(name.split('.')[0]), name, attributes, children);
}

/** An element of SVG. */
export function svg(name, attributes, ...children) {
  return build(document.createElementNS(SVG, name.split('.')[0]), name, attributes, children);
}

function build(element, name, attributes, children) {
  const classes = name.split('.').slice(1);
  if (classes.length) {
    element.setAttribute('class', classes.join(' '));
  }
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? '' : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== false && child !== null && child !== undefined && child !== '') {
      element.append(child instanceof Node ? child : String(child));
    }
  }
  return element;
}

/** An icon of the page. */
export function icon(name) {
  return svg('svg.icon', { 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }));
}

const keyOf = (node) => node.dataset?.key;
const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/**
 * Makes the children of an element like the given ones, and keeps those that are alike: who has the focus keeps it. A list's
 * items have data-key.
 *
 * @param {Element} parent
 * @param {...(Node | string | null | false | readonly unknown[])} children
 */
export function show(parent, ...children) {
  const wanted = h('div', null, ...children);
  patchChildren(parent, wanted);
}

function patchChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    if (keyOf(child)) {
      keyed.set(keyOf(child), child);
    }
  }
  let at = parent.firstChild;
  for (const next of [...wanted.childNodes]) {
    const known = keyOf(next) ? keyed.get(keyOf(next)) : at;
    if (known && known.parentNode === parent && same(known, next)) {
      if (known !== at) {
        parent.insertBefore(known, at);
      } else {
        at = at.nextSibling;
      }
      patch(known, next);
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function patch(known, next) {
  if (known.nodeType === Node.TEXT_NODE) {
    if (known.data !== next.data) {
      known.data = next.data;
    }
    return;
  }
  for (const { name } of [...known.attributes]) {
    if (!next.hasAttribute(name)) {
      known.removeAttribute(name);
    }
  }
  for (const { name, value } of next.attributes) {
    // A player would begin anew with another link to the same file: it keeps one that works.
    const plays = name === 'src' && known instanceof HTMLMediaElement && !known.error;
    if (known.getAttribute(name) !== value && !plays) {
      known.setAttribute(name, value);
    }
  }
  patchChildren(known, next);
}
