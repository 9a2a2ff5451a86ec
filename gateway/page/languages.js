// The languages of the gateway's pages: which one is taken, and how its texts get into a page.

/**
 * The first language that is there of those that somebody prefers: de for de-AT.
 *
 * @param {Record<string, unknown>} languages by their tags; en is there
 * @param {readonly string[]} preferred as navigator.languages
 * @returns {string}
 */
export function languageOf(languages, preferred) {
  const short = preferred.map((tag) => tag.toLowerCase().split('-')[0]);
  return short.find((tag) => Object.hasOwn(languages, tag)) ?? 'en';
}

/**
 * A text with values in it.
 *
 * @param {string} text with {name}
 * @param {Record<string, string | number>} values by name
 */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * Writes texts into elements that name them: data-text for the content, data-label, data-tip and data-placeholder for
 * attributes.
 *
 * @param {ParentNode} root
 * @param {Record<string, string>} texts
 */
export function translate(root, texts) {
  const write = {
    text: (element, text) => {
      element.textContent = text;
    },
    label: (element, text) => element.setAttribute('aria-label', text),
    tip: (element, text) => element.setAttribute('title', text),
    placeholder: (element, text) => element.setAttribute('placeholder', text),
  };
  for (const [kind, apply] of Object.entries(write)) {
    for (const element of root.querySelectorAll(`[data-${kind}]`)) {
      apply(element, texts[element.dataset[kind]]);
    }
  }
  for (const { content } of root.querySelectorAll('template')) {
    translate(content, texts);
  }
}
