'use strict';

const path = require('node:path');
const express = require('express');
const { OpenVidu, OpenViduRole } = require('openvidu-node-client');

const PORT = process.env.PORT ?? 5000;
const OPENVIDU_URL = process.env.OPENVIDU_URL ?? 'http://localhost:4443';
const OPENVIDU_SECRET = process.env.OPENVIDU_SECRET ?? 'MY_SECRET';

const openvidu = new OpenVidu(OPENVIDU_URL, OPENVIDU_SECRET);
openvidu.enableProdMode();

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '10kb' }));
app.use(express.static(path.join(__dirname, 'public')));

// The page loads openvidu-browser as a plain script.
const browserClient = path.join(path.dirname(require.resolve('openvidu-browser/package.json')), 'static/js/openvidu-browser-2.32.2.min.js');
app.get('/openvidu-browser.js', (req, res) => res.sendFile(browserClient));

/** Finds a session that exists in OpenVidu now, whoever created it. */
async function findSession(sessionId) {
  await openvidu.fetch();
  return openvidu.activeSessions.find((session) => session.sessionId === sessionId);
}

// Creates a session, unless it exists. Answers with its id.
app.post('/api/sessions', async (req, res) => {
  const { customSessionId } = req.body ?? {};
  if (typeof customSessionId !== 'string' || !/^[a-zA-Z0-9_-]{1,40}$/.test(customSessionId)) {
    res.status(400).json({ error: 'A room name has 1 to 40 letters, digits, - and _' });
    return;
  }
  const session = (await findSession(customSessionId)) ?? (await openvidu.createSession({ customSessionId }));
  res.json({ sessionId: session.sessionId });
});

// Creates a connection in a session, for one user. Answers with the token that the page joins with.
app.post('/api/sessions/:sessionId/connections', async (req, res) => {
  const session = await findSession(req.params.sessionId);
  if (!session) {
    res.status(404).json({ error: 'There is no such room' });
    return;
  }
  const connection = await session.createConnection({ role: OpenViduRole.PUBLISHER });
  res.json({ token: connection.token });
});

app.use((error, req, res, next) => {
  if (res.headersSent) {
    next(error);
    return;
  }
  const status = error.status >= 400 && error.status < 500 ? error.status : 502;
  if (status === 502) {
    // openvidu-node-client rejects with an Error whose message is the HTTP status, if OpenVidu has answered at all.
    const reason = /^\d{3}$/.test(error.message) ? `answered with ${error.message}` : 'does not answer';
    console.error(`${req.method} ${req.path}: OpenVidu at ${OPENVIDU_URL} ${reason}`);
  }
  res.status(status).json({ error: status === 502 ? 'The video server is not available' : error.message });
});

const server = app.listen(PORT, (error) => {
  if (error) {
    throw error;
  }
  console.log(`Serving on http://localhost:${server.address().port}, with OpenVidu at ${OPENVIDU_URL}`);
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
