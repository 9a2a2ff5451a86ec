// What a guest is given to join with: the link of this page with a token in it, or the token itself, which is the URL of
// the room's signalling. A link has the token in its fragment (#token=), which browsers send to nobody; in the query
// (?token=), as in links of before, it is in the access logs of whatever is in between.

/** The client takes no other hosts: no IPv6 literals, no user information. */
const SOCKET_URL = /^wss?:\/\/[^:/?#@[\]]+(:\d+)?(\/[^?#]*)?\?[^#]*$/;
const SESSION_ID = /^[\w.~-]{1,300}$/;
const SECRET = /^[\w.~-]{1,300}$/;
const MAX_LENGTH = 4096;

/**
 * Reads an invitation.
 *
 * @param {string} text the link or the token, as pasted or as found in this page's address
 * @param {{protocol: string, host: string}} page where this page came from
 * @returns {{token: string, session: string, host: string, elsewhere: boolean} | {problem: string}} the token as the
 *   client takes it, the name of the room, and whether it is at another host than the page; or a kind of joinProblem
 */
export function readInvitation(text, page) {
  const given = tokenOfLink(text.trim());
  if (!given) {
    return { problem: 'no-token' };
  }
  if (given.length > MAX_LENGTH || !SOCKET_URL.test(given)) {
    return { problem: 'malformed-token' };
  }
  let url;
  try {
    url = new URL(given);
  } catch {
    return { problem: 'malformed-token' };
  }
  const session = url.searchParams.get('sessionId') ?? '';
  const secret = url.searchParams.get('token') ?? '';
  if (!SESSION_ID.test(session) || !SECRET.test(secret)) {
    return { problem: 'malformed-token' };
  }
  if (page.protocol === 'https:' && url.protocol === 'ws:') {
    return { problem: 'insecure-token' };
  }
  return {
    // Nothing but what joining needs: other parameters would switch on features of the client that this page does not want.
    token: `${url.protocol}//${url.host}?sessionId=${session}&token=${secret}`,
    session,
    host: url.host,
    elsewhere: url.host !== page.host,
  };
}

/**
 * Takes the invitation out of an address of this page.
 *
 * @param {string} href
 * @returns {{text: string | null, rest: string}} what the address carries, null when it is nothing; and path and query without it
 */
export function takeInvitation(href) {
  const address = new URL(href);
  const text = invitationIn(address);
  address.searchParams.delete('token');
  if (text !== null) {
    // A token that was put behind ?token= without encoding it: its own parameters have become the page's.
    address.searchParams.delete('sessionId');
  }
  return { text, rest: address.pathname + address.search };
}

function invitationIn(address) {
  return tokenIn(new URLSearchParams(address.hash.slice(1))) ?? tokenIn(address.searchParams);
}

function tokenIn(parameters) {
  const [first = null, ...more] = parameters.getAll('token');
  return more.length > 0 ? `${first}&token=${more[0]}` : first;
}

/** The token in a link to this page; anything else is taken for a token. */
function tokenOfLink(text) {
  if (!/^https?:\/\//i.test(text)) {
    return text;
  }
  try {
    return invitationIn(new URL(text)) ?? text;
  } catch {
    return text;
  }
}
