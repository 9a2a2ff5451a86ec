// An application that has the library by a script element.

const session = OT.initSession('46000001', 'session');
let count = 0;
let me: OT.Connection | undefined;

session.on('connectionCreated', (event) => { count++; me ??= event.connection; });
session.on({
  sessionConnected: (event) => OT.log(event.streams.length),
  connectionDestroyed({ connection, reason }) { count--; OT.log(`${connection.data} ${reason ?? ''}`); },
  streamPropertyChanged: ({ stream, changedProperty, newValue }) => OT.log([stream.name, changedProperty, newValue]),
  'signal:chat': ({ data, from }) => OT.log(`${from?.connectionId ?? 'server'}: ${data ?? ''}`),
});
session.on('sessionReconnecting sessionReconnected', function (event) { OT.log([this, event.type]); });
session.on('archiveStarted', (event) => OT.log(event.id));

session.on('streamCreated', ({ stream }) => {
  const subscriber = session.subscribe(stream, 'others', { insertMode: 'append', width: '100%', height: 240 }, (error) => {
    if (error) OT.log(`${error.name} ${error.code} ${error.message}`);
  });
  subscriber.on('videoDisabled', ({ reason }) => { if (reason === 'quality') subscriber.subscribeToVideo(false); });
  subscriber.getStats((error, stats) => OT.log(error ?? stats?.video?.bytesReceived));
});

session.connect('token', (error) => {
  const publisher: OT.Publisher = OT.initPublisher('own', { publishVideo: true, name: 'Ada' });
  publisher.on('streamDestroyed', (event) => event.preventDefault()).once('accessDenied', () => publisher.destroy());
  publisher.on('audioLevelUpdated', ({ audioLevel }) => OT.log(audioLevel.toFixed(2)));
  if (!error && session.capabilities?.publish === 1) session.publish(publisher);
});
session.signal({ type: 'chat', data: 'hello', to: me }, (error) => OT.log(error?.signal?.data));
if (OT.checkSystemRequirements() == 1) TB.on('exception', (event) => OT.log(event.title));

// @ts-expect-error: a token is a string
session.connect(5);
// @ts-expect-error: there is no such method
session.join('token');
// @ts-expect-error: there is no such option
OT.initPublisher('own', { loudness: 11 });
// @ts-expect-error: a connection has no stream
session.on('connectionCreated', (event) => OT.log(event.stream));
// @ts-expect-error: it is undefined before the session is connected
OT.log(session.connection.connectionId);
