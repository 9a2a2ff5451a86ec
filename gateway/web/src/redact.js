// Keeps secrets out of the browser's console. openvidu-browser writes a request that went wrong to the console as it is, and
// with it the token of joinRoom and the private session id of connect. It takes its references to the console when it is
// loaded, so this module comes first.

const SECRETS = [
  [/([?&#\\"]token\\*"?[=:]\\*"?)[^&\s"\\]+/gi, '$1…'],
  [/\btok_\w+/g, 'tok_…'],
  [/("sessionId\\*":\\*")[^"\\]+/g, '$1…'],
];

/**
 * The text without tokens and private session ids.
 *
 * @param {string} text
 */
export function redact(text) {
  return SECRETS.reduce((redacted, [secret, instead]) => redacted.replace(secret, instead), text);
}

/** What is written in place of something given to the console. */
export function redactValue(value) {
  if (typeof value === 'string') {
    return redact(value);
  }
  if (value instanceof Error || (value !== null && typeof value === 'object' && typeof value.message === 'string')) {
    return redact(`${value.name ?? 'Error'} ${value.code ?? ''}: ${value.message}`);
  }
  if (value !== null && typeof value === 'object') {
    // Not its content: it may be anything.
    return typeof value.type === 'string' ? `[${value.type}]` : Object.prototype.toString.call(value);
  }
  return value;
}

/** Puts redact between a console and whoever writes to it. */
export function guard(console) {
  for (const method of ['debug', 'log', 'info', 'warn', 'error']) {
    const write = console[method].bind(console);
    console[method] = (...values) => write(...values.map(redactValue));
  }
}
