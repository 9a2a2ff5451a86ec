// The namespace that applications know as OT.

import { capture, listDevices, type CaptureOptions, type Device } from './devices.ts';
import { Emitter } from './emitter.ts';
import { OTError, settle, type Callback } from './errors.ts';
import { OTEvent } from './events.ts';
import { Collection, Connection, randomId, Stream } from './model.ts';
import { Publisher } from './publisher.ts';
import { Session, type SessionOptions } from './session.ts';
import { audioContext } from './sound.ts';
import { Subscriber } from './subscriber.ts';
import { split, twin } from './twin.ts';
import { isTarget } from './widget.ts';

export { ConnectionEvent, OTEvent, SessionConnectEvent, SessionDisconnectEvent, SignalEvent, StreamEvent } from './events.ts';
export { Connection, Publisher, Session, Stream, Subscriber, OTError };

/** Where the script came from: the gateway, unless the application says otherwise. */
const origin = (() => {
  const source = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src;
  return source ? new URL(source).origin : globalThis.location?.origin ?? '';
})();

let apiUrl = origin;
const emitter = new Emitter();
const sessions = new Collection<Session>();

export const version = 'mediarooms-ot-compat';
export const publishers = new Collection<Publisher>();
export const subscribers = new Collection<Subscriber>();
export const properties = { version, get apiURL() { return apiUrl; } };

export const on = emitter.on.bind(emitter);
export const once = emitter.once.bind(emitter);
export const off = emitter.off.bind(emitter);

/** Tells the application of a failure that no callback may have been given for. */
function failed(error: OTError, target: unknown): void {
  const event = new OTEvent('exception', false, { code: error.code, title: error.name, message: error.message });
  event.target = target;
  emitter.dispatch(event);
}

/** Prepares a session. There is one object for each key and id. */
export function initSession(apiKey: string | number, sessionId?: string, options: SessionOptions = {}): Session {
  const [key, id] = sessionId === undefined ? ['', String(apiKey)] : [String(apiKey), sessionId];
  const known = sessions.get(`${key} ${id}`);
  if (known) {
    return known;
  }
  const session = new Session({ apiUrl: () => apiUrl, publishers, subscribers, initPublisher, failed }, key, id, options);
  sessions.set(`${key} ${id}`, session);
  return session;
}

/** Begins to capture. All arguments are optional: target, options, callback. */
export const initPublisher = twin((...args: unknown[]): Publisher => {
  const { callback, rest } = split(args);
  const target = isTarget(rest[0]) ? rest[0] : undefined;
  const options = rest.find((arg) => arg && typeof arg === 'object' && !(arg instanceof HTMLElement)) ?? {};
  return new Publisher(target, options, callback);
});

/** 1 where the browser can do WebRTC, else 0. */
export function checkSystemRequirements(): number {
  return typeof RTCPeerConnection === 'function' && navigator.mediaDevices !== undefined ? 1 : 0;
}

export function upgradeSystemRequirements(): void {
  console.warn('Mediarooms: this browser can not be used; a current one can');
}

export function getDevices(callback?: Callback<Device[]>): Promise<Device[]> {
  const devices = listDevices();
  settle(devices, callback);
  return devices;
}

export const getUserMedia = (options: CaptureOptions = {}): Promise<MediaStream> => capture(options);

let output: string | null = null;

export async function getAudioOutputDevices(): Promise<{ deviceId: string; label: string }[]> {
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter((d) => d.kind === 'audiooutput').map(({ deviceId, label }) => ({ deviceId, label }));
}

export async function getActiveAudioOutputDevice(): Promise<{ deviceId: string | null; label: string | null }> {
  const devices = await getAudioOutputDevices();
  return devices.find((d) => d.deviceId === (output ?? 'default')) ?? { deviceId: output, label: null };
}

export async function setAudioOutputDevice(deviceId: string): Promise<void> {
  output = deviceId;
  await Promise.all([...document.querySelectorAll<HTMLVideoElement>('.OT_video-element')].map((video) => video.setSinkId(deviceId)));
}

export function checkScreenSharingCapability(callback?: (capability: OT.ScreenSharingCapability) => void): Promise<OT.ScreenSharingCapability> {
  const supported = Boolean(navigator.mediaDevices?.getDisplayMedia);
  const capability = { supported, supportedSources: { screen: supported, application: supported, window: supported } };
  callback?.(capability);
  return Promise.resolve(capability);
}

/** Screens are shared without an extension. */
export function registerScreenSharingExtension(): void {}

/** Whether the browser gives processors the frames of a track, and makes a track of what they return. */
const processesMedia = () => 'MediaStreamTrackProcessor' in globalThis && 'MediaStreamTrackGenerator' in globalThis;
export const hasMediaProcessorSupport = Object.assign(processesMedia, { promise: async () => processesMedia() });
export const hasEndToEndEncryptionSupport = (): boolean => false;

export async function getSupportedCodecs(): Promise<{ videoEncoders: string[]; videoDecoders: string[] }> {
  const names = (side: typeof RTCRtpSender | typeof RTCRtpReceiver) => {
    const all = side.getCapabilities('video')?.codecs.map((codec) => codec.mimeType.replace('video/', '')) ?? [];
    return [...new Set(all)].filter((name) => /^(VP8|VP9|H264|AV1)$/.test(name));
  };
  return { videoEncoders: names(RTCRtpSender), videoDecoders: names(RTCRtpReceiver) };
}

/** Says where the gateway is, for sessions that connect from now on. */
export function setProxyUrl(url: string): void {
  apiUrl = new URL(url).href;
}

/** Plays what the browser has blocked. It has to be called in a gesture of the user. */
export async function unblockAudio(): Promise<void> {
  await audioContext().resume();
  await Promise.all(subscribers.all().map((subscriber) => subscriber.unblock()));
}

export const log = (message: unknown): void => console.log(message);
export const setLogLevel = (_level: number): void => {};

export async function reportIssue(callback?: Callback<string>): Promise<string> {
  const id = randomId();
  settle(Promise.resolve(id), callback);
  return id;
}

