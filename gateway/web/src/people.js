// How people are called and told apart.
import { texts } from './texts.js';

const MAX_NAME = 60;
/** Between what the client and what the server said of a connection. */
const SEPARATOR = '%/%';
const NAME_KEYS = ['clientData', 'name', 'displayName', 'userName', 'username', 'nickname'];

/**
 * The data of a connection that carries a name, as OpenVidu's own examples write it.
 *
 * @param {string} name as typed
 */
export function clientData(name) {
  return { clientData: tidy(name) };
}

/**
 * The name in the data of a connection, or "Guest". A name that the server gives counts more than what a client calls itself; the server's other data
 * is a name only when there is no better one.
 *
 * @param {string | undefined} data of the client and of the server, as the package gives it
 */
export function displayName(data) {
  const [client, ...rest] = (data ?? '').split(SEPARATOR);
  const server = rest.join(SEPARATOR);
  return named(server, NAME_KEYS) || named(client, NAME_KEYS) || plain(client) || named(client, ['serverData']) || named(server, ['serverData'])
    || plain(server) || texts.page.guest;
}

/** The name under one of the keys of a JSON object, or "". */
function named(part, keys) {
  const value = parsed(part);
  if (value === null || typeof value !== 'object') {
    return '';
  }
  return keys.map((key) => (typeof value[key] === 'string' ? tidy(value[key]) : '')).find((name) => name) ?? '';
}

/** A name that is not in an object, or "". */
function plain(part) {
  const value = parsed(part);
  return value === null || typeof value === 'object' ? '' : tidy(String(value));
}

/** What is written as JSON, or else the text itself. */
function parsed(part) {
  try {
    return JSON.parse(part);
  } catch {
    return part;
  }
}

/** Control characters and those that turn the direction of writing would disturb the text around a name. */
function tidy(name) {
  return [...name.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, ' ').replace(/\s+/g, ' ').trim()].slice(0, MAX_NAME).join('');
}

/**
 * One or two letters for a name.
 *
 * @param {string} name
 */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.map((word) => [...word.replace(/^[^\p{L}\p{N}]+/u, '')][0]);
  const chosen = letters.length > 1 ? [letters[0], letters.at(-1)] : letters;
  return chosen.join('').toUpperCase() || '?';
}

/**
 * A number from 0 to count - 1 that stays the same for the same person.
 *
 * @param {string} id of the connection
 * @param {number} count of colours to choose from
 */
export function colour(id, count) {
  let sum = 0;
  for (const letter of id) {
    sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  }
  return sum % count;
}
