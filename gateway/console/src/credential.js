// How the viewer says who it is: a header that each request has. It is kept for this tab only, and for a while.

const PLACE = 'mediarooms-console';
const HOURS = 8;
const USER = 'OPENVIDUAPP';

/** @typedef {{header: string, namespace: string, until: number}} Credential */

/**
 * The credential of a form.
 *
 * @param {{how: 'password' | 'token', secret: string, namespace: string}} form
 * @param {number} now in milliseconds
 * @returns {Credential}
 */
export function credentialOf({ how, secret, namespace }, now) {
  const text = new TextEncoder().encode(`${USER}:${secret}`);
  const header = how === 'token' ? `Bearer ${secret.trim()}` : `Basic ${btoa(String.fromCharCode(...text))}`;
  return { header, namespace: how === 'token' ? namespace.trim() : '', until: now + HOURS * 3600_000 };
}

/** Whether a header can hold it. */
export function sendable({ header }) {
  return /^[\x20-\x7e]+$/.test(header);
}

/** Keeps it for this tab. */
export function keep(credential, storage) {
  storage.setItem(PLACE, JSON.stringify(credential));
}

/** Forgets it. */
export function forget(storage) {
  storage.removeItem(PLACE);
}

/**
 * What was kept; null for nothing that is still good.
 *
 * @returns {Credential | null}
 */
export function kept(storage, now) {
  try {
    const credential = JSON.parse(storage.getItem(PLACE));
    return credential && typeof credential.header === 'string' && credential.until > now ? credential : null;
  } catch {
    return null;
  }
}
