// What a client sends: it is captured, shown, and published over a session.

import { capture, isScreen, listDevices, type CaptureOptions, type Source } from './devices.ts';
import { asError, notSupported, warnOf, OTError, settle, type Callback } from './errors.ts';
import { OTEvent, StreamEvent } from './events.ts';
import { Stream, type Connection, type Dimensions } from './model.ts';
import { inStereo, Party, summary, type Link } from './party.ts';
import { frameRateOf, resolutionOf, type FrameRate, type Resolution } from './preference.ts';
import { twin } from './twin.ts';
import { Widget, type Target, type WidgetOptions } from './widget.ts';

/** Options of a publisher. */
export interface PublisherOptions extends CaptureOptions, WidgetOptions {
  publishAudio?: boolean;
  publishVideo?: boolean;
  initials?: string;
  videoContentHint?: string;
  disableAudioInputDeviceManagement?: boolean;
}

/** What makes another track of a captured one, such as one with a blurred background. The application has it. */
export interface MediaProcessorConnector {
  setTrack(track: MediaStreamTrack): Promise<MediaStreamTrack>;
  destroy(): unknown;
}

type Kind = 'audio' | 'video';

/** The layers of simulcast, from low to high. Small videos have one. */
const layers = [{ rid: 'low', scaleResolutionDownBy: 4 }, { rid: 'middle', scaleResolutionDownBy: 2 }, { rid: 'high', scaleResolutionDownBy: 1 }];
const layeredFrom = 1280; // pixels wide

/** Options that are refused, and those that are not followed, of which the console is told. */
const refusals = ['videoFilter', 'audioFilter', 'publishCaptions'];
const hints = [
  'maxResolution', 'audioBitrate', 'enableDtx', 'scalableVideo', 'scalableScreenshare', 'audioFallback', 'preferredVideoCodecs', 'constraints',
];

/** One stream to be. */
export class Publisher extends Party {
  accessAllowed?: boolean;
  /** The session that it is published over. */
  session?: any;
  protected widget: Widget;
  #options: PublisherOptions;
  #media = new MediaStream(); // what is shown and sent
  #captured: Partial<Record<Kind, MediaStreamTrack>> = {};
  #connectors: Partial<Record<Kind, MediaProcessorConnector>> = {};
  #changing: Promise<unknown> = Promise.resolve(); // one change of tracks at a time
  #ready: Promise<void>;
  #link?: Link;
  #audio: boolean;
  #video: boolean;
  #destroyed = false;
  #preferred: { resolution?: Dimensions; frameRate?: number } = {};
  #microphone: boolean; // the sound is one's: another one takes its place when it is unplugged
  #looking?: ReturnType<typeof setInterval>;
  #limitation = 'none';

  constructor(target: Target, options: PublisherOptions, callback?: Callback<Publisher>) {
    super();
    this.#options = options;
    this.#audio = options.publishAudio ?? true;
    this.#video = options.publishVideo ?? true;
    const screen = isScreen(options.videoSource);
    this.#microphone = !screen && !(options.audioSource instanceof MediaStreamTrack);
    let refused: unknown;
    warnOf('a publisher', options, hints);
    try {
      const unknown = refusals.find((name) => (options as Record<string, unknown>)[name]);
      if (unknown) {
        throw notSupported(`the option ${unknown}`);
      }
      this.widget = new Widget('publisher', target, { mirror: !screen && !(options.videoSource instanceof MediaStreamTrack), ...options });
    } catch (failure) {
      refused = failure;
      this.widget = new Widget('publisher', null, { insertDefaultUI: false });
    }
    this.widget.video.muted = true;
    this.widget.onmute = () => this.publishAudio(!this.#audio);
    this.widget.muted = !this.#audio;
    this.watchSize();
    this.#ready = refused ? Promise.reject(refused) : this.#capture();
    this.#ready.catch(() => {});
    settle(this.#ready.then(() => this), callback);
  }

  async #capture(): Promise<void> {
    // Handlers that are added right after the constructor get all events.
    await Promise.resolve();
    this.dispatch(new OTEvent('accessDialogOpened', true));
    try {
      this.#media = await capture(this.#options);
    } catch (failure) {
      const error = asError(failure, 'OT_HARDWARE_UNAVAILABLE');
      this.dispatch(new OTEvent('accessDialogClosed'));
      if (error.name === 'OT_USER_MEDIA_ACCESS_DENIED') {
        this.accessAllowed = false;
        this.dispatch(new OTEvent('accessDenied', true), () => this.widget.say('Camera and microphone are not allowed.'));
      }
      throw error;
    }
    this.dispatch(new OTEvent('accessDialogClosed'));
    if (this.#destroyed) {
      this.#stop();
      throw new OTError('OT_INVALID_PARAMETER', 'the publisher was destroyed');
    }
    this.accessAllowed = true;
    this.#media.getTracks().forEach((track) => this.#adopt(track as MediaStreamTrack & { kind: Kind }));
    this.widget.video.srcObject = this.#media;
    this.widget.ready(this.#media.getVideoTracks().length > 0);
    this.meter(this.#media.getAudioTracks()[0]);
    this.dispatch(new OTEvent('accessAllowed'));
    this.dispatch(new OTEvent('mediaStreamAvailable', false, { mediaStream: this.#media }));
    this.dispatch(new OTEvent('videoElementCreated', false, { element: this.widget.video }));
  }

  /** Makes a captured track the publisher's. */
  #adopt(track: MediaStreamTrack & { kind: Kind }): void {
    this.#captured[track.kind] = track;
    track.enabled = track.kind === 'audio' ? this.#audio : this.#video;
    if (track.kind === 'video' && this.#options.videoContentHint) {
      track.contentHint = this.#options.videoContentHint;
    }
    track.addEventListener('ended', () => {
      this.dispatch(new OTEvent('mediaStopped', false, { track }));
      if (isScreen(this.#options.videoSource) && track.kind === 'video') {
        this.session?.endPublisher(this, 'mediaStopped');
      }
      if (this.#captured.audio === track && this.#microphone && !this.#options.disableAudioInputDeviceManagement && !this.#destroyed) {
        this.setAudioSource(true).catch((failure) => console.warn('Mediarooms: there is no other microphone', failure));
      }
    });
  }

  /** Publishes over a session, once the media is there. The session calls it. */
  async start(session: any, link: Link, connection: Connection): Promise<Stream> {
    await this.#ready;
    if (this.stream || this.#destroyed) {
      throw new OTError('OT_INVALID_PARAMETER', this.stream ? 'the publisher is published already' : 'the publisher was destroyed');
    }
    this.session = session;
    this.#link = link;
    const video = this.#media.getVideoTracks()[0], audio = this.#media.getAudioTracks()[0];
    const { width = 0, height = 0, frameRate } = video?.getSettings() ?? {};
    const described = {
      hasAudio: Boolean(audio), hasVideo: Boolean(video), name: this.#options.name ?? '', initials: this.#options.initials ?? '',
      videoType: video && (isScreen(this.#options.videoSource) ? 'screen' : this.#options.videoSource instanceof MediaStreamTrack ? 'custom' : 'camera'),
      frameRate: frameRate && Math.round(frameRate),
      videoDimensions: width && height ? { width, height } : undefined,
    } as const;
    const peer = this.#connect();
    try {
      const sdpOffer = await offer(peer);
      const answer = await link.request('publish', { ...described, sdpOffer, audioActive: this.#audio, videoActive: this.#video }, { again: true });
      await this.#answered(peer, answer.sdpAnswer);
      this.stream = new Stream({
        ...described, id: answer.streamId, createdAt: answer.createdAt, hasAudio: described.hasAudio && this.#audio,
        hasVideo: described.hasVideo && this.#video,
      }, connection);
    } catch (failure) {
      this.#disconnect();
      throw asError(failure, 'OT_SET_REMOTE_DESCRIPTION_FAILED');
    }
    return this.stream;
  }

  /** Takes the server's answer. */
  #answered(peer: RTCPeerConnection, sdp: string): Promise<void> {
    return peer.setRemoteDescription({ type: 'answer', sdp: this.#options.enableStereo ? inStereo(sdp) : sdp });
  }

  /** Shows whether the session is archived. */
  archived(on: boolean): void {
    this.widget.archiving = on;
  }

  /** Makes a peer connection that sends the media, in the place of the one before. */
  #connect(): RTCPeerConnection {
    this.peer?.close();
    const peer = this.peer = new RTCPeerConnection(this.#link?.configuration);
    for (const track of this.#media.getTracks()) {
      const layered = track.kind === 'video' && !isScreen(this.#options.videoSource) && (track.getSettings().width ?? 0) >= layeredFrom;
      const prefers = track.kind === 'video' && (this.#preferred.resolution || this.#preferred.frameRate);
      const sendEncodings = layered || prefers ? this.#bounded(layered ? layers : [{}], track) : undefined;
      peer.addTransceiver(track, { direction: 'sendonly', streams: [this.#media], ...(sendEncodings && { sendEncodings }) });
    }
    peer.addEventListener('connectionstatechange', () => {
      if (peer === this.peer && peer.connectionState === 'failed') {
        void this.renegotiate();
      }
    });
    return peer;
  }

  /** Returns encodings of a track in the size and at the frame rate that are preferred. */
  #bounded(encodings: RTCRtpEncodingParameters[], track: MediaStreamTrack): RTCRtpEncodingParameters[] {
    const { resolution, frameRate } = this.#preferred;
    const { width = 0, height = 0 } = track.getSettings();
    const down = resolution ? Math.max(1, width / resolution.width, height / resolution.height) : 1;
    const all = encodings.length > 1 ? layers : [{ scaleResolutionDownBy: 1 }];
    return encodings.map((encoding, i) => {
      const { maxFramerate, ...others } = encoding;
      return { ...others, scaleResolutionDownBy: (all[i]?.scaleResolutionDownBy ?? 1) * down, ...(frameRate && { maxFramerate: frameRate }) };
    });
  }

  /** Has the browser send the video as it is preferred. */
  #prefer(preferred: { resolution?: Dimensions; frameRate?: number }): Promise<void> {
    this.#preferred = { ...this.#preferred, ...preferred };
    return this.#change(async () => {
      const sender = this.peer?.getSenders().find(({ track }) => track?.kind === 'video');
      if (sender?.track) {
        const parameters = sender.getParameters();
        await sender.setParameters({ ...parameters, encodings: this.#bounded(parameters.encodings, sender.track) });
      }
    });
  }

  /** Sends the video in at most a size. */
  async setPreferredResolution(resolution: Resolution): Promise<void> {
    await this.#prefer({ resolution: resolutionOf(resolution) });
  }

  /** Sends at most so many pictures a second. */
  async setPreferredFrameRate(frameRate: FrameRate): Promise<void> {
    await this.#prefer({ frameRate: frameRateOf(frameRate) });
  }

  /** Sends the media over another peer connection. The session calls it when it is on another media pod. */
  async renegotiate(): Promise<void> {
    if (!this.stream || !this.#link) {
      return;
    }
    const peer = this.#connect();
    try {
      const answer = await this.#link.request('renegotiate', { streamId: this.stream.streamId, sdpOffer: await offer(peer) }, { again: true });
      await this.#answered(peer, answer.sdpAnswer);
    } catch (failure) {
      console.warn('Mediarooms: the stream could not be sent again', failure);
    }
  }

  /** Takes note that the stream has ended. Unless a handler prevents it, the publisher is destroyed. */
  ended(reason: string): void {
    const stream = this.stream;
    this.#disconnect();
    if (stream) {
      this.dispatch(new StreamEvent('streamDestroyed', stream, reason), () => this.#remove());
    }
  }

  protected listenedTo(name: string): void {
    super.listenedTo(name);
    if (name === 'videoQualityChanged' && !this.#looking && !this.#destroyed) {
      this.#looking = setInterval(() => void this.#lookAtQuality(), 1000);
    }
  }

  /** Tells when something else limits the quality of what is sent. */
  async #lookAtQuality(): Promise<void> {
    const report = await this.peer?.getStats().catch(() => undefined);
    const sent = [...report?.values() ?? []].filter((one) => one.type === 'outbound-rtp' && one.kind === 'video' && one.qualityLimitationReason);
    if (!report || !sent.length) {
      return;
    }
    const reason = sent.map((one) => one.qualityLimitationReason).find((one) => one !== 'none') ?? 'none';
    if (reason !== this.#limitation) {
      this.#limitation = reason;
      this.dispatch(new OTEvent('videoQualityChanged', false, { reason, statsContainer: { rtcStatsReport: report } }));
    }
  }

  #disconnect(): void {
    this.peer?.close();
    this.peer = undefined;
    this.stream = undefined;
    this.#link = undefined;
    this.session = undefined;
  }

  #stop(): void {
    this.#tracks().forEach((track) => track.stop());
    Object.values(this.#connectors).forEach((connector) => end(connector));
    this.#connectors = {};
  }

  /** The tracks of a kind, or all: what was captured, and what was made of it. */
  #tracks(kind?: Kind): MediaStreamTrack[] {
    const all = [...Object.values(this.#captured), ...this.#media.getTracks()];
    return [...new Set(all)].filter((track) => !kind || track.kind === kind);
  }

  #remove(): void {
    if (this.#destroyed) {
      return;
    }
    this.#destroyed = true;
    clearInterval(this.#looking);
    this.endMedia();
    this.#stop();
    this.widget.remove();
    this.dispatch(new OTEvent('destroyed'));
  }

  /** Ends everything of the publisher. */
  get destroy() {
    return twin((callback?: Callback): this => {
      this.session?.endPublisher(this, 'clientDisconnected');
      this.#remove();
      settle(Promise.resolve(), callback);
      return this;
    });
  }

  publishAudio(on: boolean): void {
    this.#audio = on;
    this.widget.muted = !on;
    this.#tracks('audio').forEach((track) => { track.enabled = on; });
    settle(this.#changed('hasAudio', { audioActive: on }, on && this.#media.getAudioTracks().length > 0), undefined);
  }

  get publishVideo() {
    return twin((on: boolean, callback?: Callback): void => {
      this.#video = on;
      this.#tracks('video').forEach((track) => { track.enabled = on; });
      this.showAudioOnly(!on);
      settle(this.#changed('hasVideo', { videoActive: on }, on && this.#media.getVideoTracks().length > 0), callback);
    });
  }

  async #changed(property: 'hasAudio' | 'hasVideo', params: object, value: boolean): Promise<void> {
    if (!this.stream || !this.#link || this.stream[property] === value) {
      return;
    }
    this.session?.changeStream(this.stream, property, value);
    await this.#link.request('change', { streamId: this.stream.streamId, ...params }, { again: true }).catch((failure) => {
      throw asError(failure, 'OT_UNEXPECTED_SERVER_RESPONSE');
    });
  }

  protected sizeChanged(videoDimensions: Dimensions): void {
    const known = this.stream?.videoDimensions;
    if (this.stream && this.#link && (known?.width !== videoDimensions.width || known?.height !== videoDimensions.height)) {
      this.session?.changeStream(this.stream, 'videoDimensions', videoDimensions);
      this.#link.request('change', { streamId: this.stream.streamId, videoDimensions }, { again: true }).catch(() => {});
    }
  }

  /** Takes a moderator's wish for mute. */
  mute(): void {
    this.publishAudio(false);
    this.dispatch(new OTEvent('muteForced'));
  }

  getAudioSource(): MediaStreamTrack | null {
    return this.#captured.audio ?? null;
  }

  getVideoSource(): { deviceId: string | null; type: string | null; track: MediaStreamTrack | null } {
    const track = this.#captured.video ?? null;
    const type = isScreen(this.#options.videoSource) ? 'screen' : this.#options.videoSource instanceof MediaStreamTrack ? 'custom' : 'camera';
    return { deviceId: track?.getSettings().deviceId ?? null, type: track && type, track };
  }

  async setAudioSource(source: Source): Promise<void> {
    if (source instanceof MediaStreamTrack) {
      await this.#replace('audio', source);
      this.#microphone = false;
      return;
    }
    const track = (await capture({ ...this.#options, audioSource: source, videoSource: null })).getAudioTracks()[0];
    await this.#replace('audio', track);
    this.#microphone = true;
    this.dispatch(new OTEvent('audioInputDeviceChanged', false, {
      device: { deviceId: track.getSettings().deviceId, kind: 'audioInput', label: track.label },
    }));
  }

  async setVideoSource(source: Source): Promise<void> {
    await this.#replace('video', source instanceof MediaStreamTrack ? source :
      (await capture({ ...this.#options, videoSource: source, audioSource: null })).getVideoTracks()[0]);
  }

  /** Goes on to the next camera. */
  async cycleVideo(): Promise<{ deviceId: string }> {
    const cameras = (await listDevices()).filter((device) => device.kind === 'videoInput');
    const at = cameras.findIndex((camera) => camera.deviceId === this.getVideoSource().deviceId);
    const next = cameras[(at + 1) % cameras.length];
    if (!next || !this.getVideoSource().track) {
      throw new OTError('OT_NO_DEVICES_FOUND', 'there is no camera to go on to');
    }
    await this.setVideoSource(next.deviceId);
    return { deviceId: next.deviceId };
  }

  /** Captures from another source. */
  #replace(kind: Kind, source: MediaStreamTrack): Promise<void> {
    return this.#change(async () => {
      const before = this.#captured[kind];
      if (!before) {
        source.stop();
        throw new OTError('OT_INVALID_PARAMETER', `the publisher has no ${kind}`);
      }
      const made = await processed(this.#connectors[kind], source);
      this.#adopt(source as MediaStreamTrack & { kind: Kind });
      await this.#send(kind, made);
      before.stop();
    });
  }

  /** Sends what a processor makes of what is captured, or that itself without one. */
  #setConnector(kind: Kind, connector: MediaProcessorConnector | null): Promise<void> {
    return this.#change(async () => {
      await this.#ready;
      const source = this.#captured[kind];
      if (!source || (connector !== null && typeof connector?.setTrack !== 'function')) {
        throw new OTError('OT_INVALID_PARAMETER', source ? 'a connector with setTrack and destroy, or null, must be given' : `the publisher has no ${kind}`);
      }
      const before = this.#connectors[kind];
      await this.#send(kind, await processed(connector ?? undefined, source));
      this.#connectors[kind] = connector ?? undefined;
      if (before !== connector) {
        end(before);
      }
    });
  }

  /** Does one change of tracks after the other. */
  #change(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => {});
    return changed;
  }

  /** Shows and sends a track in the place of the one before. */
  async #send(kind: Kind, track: MediaStreamTrack): Promise<void> {
    const before = this.#media.getTracks().find((one) => one.kind === kind);
    if (this.#destroyed) {
      track.stop();
      throw new OTError('OT_INVALID_PARAMETER', 'the publisher was destroyed');
    }
    if (!before || before === track) {
      return;
    }
    track.enabled = kind === 'audio' ? this.#audio : this.#video;
    await this.peer?.getSenders().find((sender) => sender.track?.kind === kind)?.replaceTrack(track);
    this.#media.removeTrack(before);
    this.#media.addTrack(track);
    if (!Object.values(this.#captured).includes(before)) {
      before.stop(); // a processor has made it
    }
    if (kind === 'audio') {
      this.meter(track);
    }
  }

  setVideoMediaProcessorConnector(connector: MediaProcessorConnector | null): Promise<void> {
    return this.#setConnector('video', connector);
  }

  setAudioMediaProcessorConnector(connector: MediaProcessorConnector | null): Promise<void> {
    return this.#setConnector('audio', connector);
  }

  /** Tells the statistics of what is sent: one entry, since the server forwards it. */
  getStats(callback: Callback<OT.PublisherStatsContainer[]>): void {
    this.getRtcStats((report) => [{
      subscriberId: undefined, connectionId: undefined, stats: summary(report, 'outbound-rtp'),
    }], callback);
  }

  async getRtcStatsReport(): Promise<OT.PublisherRtcStatsReportContainer[]> {
    return [{ rtcStatsReport: await this.report() }];
  }

  isAudioBlocked(): boolean {
    return false;
  }

  async applyVideoFilter(): Promise<void> { throw notSupported('applyVideoFilter'); }
  async clearVideoFilter(): Promise<void> { throw notSupported('clearVideoFilter'); }
  async applyAudioFilter(): Promise<void> { throw notSupported('applyAudioFilter'); }
  async clearAudioFilter(): Promise<void> { throw notSupported('clearAudioFilter'); }
  async publishCaptions(): Promise<void> { throw notSupported('publishCaptions'); }
}

async function offer(peer: RTCPeerConnection): Promise<string> {
  await peer.setLocalDescription();
  return peer.localDescription?.sdp ?? '';
}

/** Returns what a processor makes of a track, or the track itself without one. */
async function processed(connector: MediaProcessorConnector | undefined, track: MediaStreamTrack): Promise<MediaStreamTrack> {
  const made = await connector?.setTrack(track);
  if (connector && !(made instanceof MediaStreamTrack)) {
    throw new OTError('OT_INVALID_PARAMETER', 'setTrack of the connector must return a track');
  }
  return made ?? track;
}

/** Ends a processor. */
function end(connector: MediaProcessorConnector | undefined): void {
  Promise.resolve(connector?.destroy?.()).catch((failure) => console.warn('Mediarooms: a media processor could not be ended', failure));
}
