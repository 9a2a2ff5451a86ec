// An application that is bundled.

import OT, { initSession, type Session } from './opentok.mjs';
import Same, { type Stream } from '@opentok/client';
import * as Names from '@opentok/client';

const session: Session = initSession('46000001', 'session', { apiUrl: 'https://rooms.example.org' });

export async function call(token: string): Promise<OT.Publisher> {
  await session.connect.promise(token);
  const devices = await OT.getDevices();
  const camera = devices.find((device) => device.kind === 'videoInput');
  const publisher = await OT.initPublisher.promise('own', { videoSource: camera?.deviceId ?? null, insertMode: 'append' });
  await session.publish.promise(publisher);
  await publisher.publishVideo.promise(false);
  const [report] = await publisher.getRtcStatsReport();
  report?.rtcStatsReport.forEach((one) => Names.log(one));
  return publisher;
}

export async function watch(stream: Stream, target: HTMLElement): Promise<OT.Subscriber> {
  const subscriber = await session.subscribe.promise(stream, target, { audioVolume: 50 });
  await Same.unblockAudio();
  return subscriber.setAudioVolume(80);
}

// @ts-expect-error: it is a promise
export const supported: boolean = OT.hasMediaProcessorSupport.promise();
