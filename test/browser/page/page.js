// The unmodified openvidu-browser with probes around it. The Go driver (test/browser) calls the methods of clients (client.js), and
// every event of the package lands in window.events with its time.

import { Client } from './client.js';

/** Events in the order in which they came: {at: ms since 1970, client, on, name, reason, ...}. */
window.events = [];

/** The page's OpenVidu objects by the test's names for them. Most pages have one only, named ''. */
const clients = new Map();

/** client returns the one with a name, and makes it when there is none yet. */
function client(name) {
  if (!clients.has(name)) {
    clients.set(name, new Client(name));
  }
  return clients.get(name);
}

/** Calls a method of a client. */
function call(name, method, argument) {
  return client(name)[method](argument);
}

/** Closes the page's sockets, as their sudden end looks to the package. */
function dropSockets() {
  for (const socket of window.probes.sockets.filter(({ readyState }) => readyState === WebSocket.OPEN)) {
    socket.close();
  }
  return {};
}

/**
 * Loses all sockets, and for as long as it says that the network can't be reached: no message passes, and no socket opens. ms is
 * how long.
 */
function loseSockets(ms) {
  window.probes.unreachable = true;
  dropSockets();
  setTimeout(() => { window.probes.unreachable = false; }, ms);
  return {};
}

/** Loses all that is sent and received on the sockets that are open now, which stay open. */
function killSockets() {
  window.probes.sockets.forEach((socket) => window.probes.dead.add(socket));
  return {};
}

window.harness = { call, dropSockets, killSockets, loseSockets };
