// What a client receives of one stream.

import { asError, notSupported, warnOf, OTError, settle, type Callback } from './errors.ts';
import { OTEvent } from './events.ts';
import type { Dimensions, Stream } from './model.ts';
import { inStereo, Party, summary, type Link } from './party.ts';
import { frameRateOf, resolutionOf, type FrameRate, type Resolution } from './preference.ts';
import { Watch, type QualityScore } from './quality.ts';
import { twin } from './twin.ts';
import { Widget, type Target, type WidgetOptions } from './widget.ts';

/** Options of a subscriber. */
export interface SubscriberOptions extends WidgetOptions {
  subscribeToAudio?: boolean;
  subscribeToVideo?: boolean;
  audioVolume?: number;
  testNetwork?: boolean;
  preferredResolution?: Resolution;
  preferredFrameRate?: FrameRate;
}

/** The events for which the figures are looked at. */
const qualityEvents = ['qualityScoreChanged', 'videoDisableWarning', 'videoDisableWarningLifted'];

/** The frame rate while it is restricted, in Hz. */
const restricted = 1;

/** One reception of a stream. */
export class Subscriber extends Party {
  readonly subscriptionId: string;
  readonly session: any;
  protected widget: Widget;
  #link: Link;
  #preferred: { resolution?: Resolution; frameRate?: FrameRate };
  #media = new MediaStream();
  #audio: boolean;
  #video: boolean;
  #resolution?: Dimensions; // the most that is of use; any without it
  #frameRate?: number;
  #restricted = false;
  #muted = false; // by the button: only what is heard
  #connected = false;
  #ended = false;
  #blocked = false;
  #watch?: Watch;
  #score: QualityScore = {};
  #paused = false; // by the server, for want of bandwidth
  #warned = false; // that it may be

  constructor(session: any, link: Link, stream: Stream, target: Target, options: SubscriberOptions, subscriptionId: string) {
    super();
    this.subscriptionId = subscriptionId;
    this.session = session;
    this.#link = link;
    this.stream = stream;
    this.#audio = options.subscribeToAudio ?? true;
    this.#video = options.subscribeToVideo ?? true;
    this.#preferred = { resolution: options.preferredResolution, frameRate: options.preferredFrameRate };
    this.widget = new Widget('subscriber', target, { name: stream.name, ...options });
    this.widget.video.srcObject = this.#media;
    this.widget.onmute = () => { this.#muted = !this.#muted; this.widget.muted = this.#muted; this.#hear(); };
    warnOf('a subscriber', options, ['subscribeToCaptions', 'captionsTranslationLanguage']);
    this.setAudioVolume(options.audioVolume ?? 100);
    this.#hear();
    this.watchSize();
  }

  get streamId(): string {
    return this.stream?.streamId ?? '';
  }

  /** Begins to receive. The session calls it. It returns once the media has come. */
  async start(): Promise<void> {
    this.#resolution = resolutionOf(this.#preferred.resolution);
    this.#frameRate = frameRateOf(this.#preferred.frameRate);
    const { sdpOffer } = await this.#link.request('subscribe', { streamId: this.streamId, ...this.#wanted() }, { again: true });
    const peer = await this.#answer(sdpOffer, false);
    await this.#established(peer);
    this.widget.ready(this.#showsVideo());
    this.showAudioOnly(!this.#showsVideo());
    this.#connected = true;
    this.dispatch(new OTEvent('connected'));
    this.dispatch(new OTEvent('videoElementCreated', false, { element: this.widget.video }));
    this.dispatch(new OTEvent('mediaStreamAvailable', false, { mediaStream: this.#media }));
  }

  /**
   * Receives over another peer connection, as the server offers. A media pod that makes the offer in
   * the place of one whose answer was lost does not know what is wanted of the stream.
   */
  async renew(sdpOffer: string): Promise<void> {
    try {
      await this.#answer(sdpOffer, true);
      this.deliverAgain();
    } catch (failure) {
      console.warn('Mediarooms: an offer could not be answered', failure);
    }
  }

  /** Says again what is wanted of the stream, which another media pod may not know. */
  deliverAgain(): void {
    if (!this.#audio || !this.#video || this.#resolution || this.#frameRate || this.#restricted) {
      this.#deliver().catch((failure) => console.warn('Mediarooms: what is delivered could not be changed', failure));
    }
  }

  async #answer(sdpOffer: string, renewed: boolean): Promise<RTCPeerConnection> {
    this.peer?.close();
    const peer = this.peer = new RTCPeerConnection(this.#link.configuration);
    this.#media.getTracks().forEach((track) => this.#media.removeTrack(track));
    peer.addEventListener('track', ({ track }) => this.#take(track));
    peer.addEventListener('connectionstatechange', () => this.#stateChanged(peer));
    try {
      await peer.setRemoteDescription({ type: 'offer', sdp: sdpOffer });
      const { type, sdp } = await peer.createAnswer();
      await peer.setLocalDescription({ type, sdp: inStereo(sdp ?? '') });
    } catch (failure) {
      throw asError(failure, 'OT_SET_REMOTE_DESCRIPTION_FAILED');
    }
    await this.#link.request('answer', {
      subscriptionId: this.subscriptionId, streamId: this.stream!.streamId, sdpAnswer: peer.localDescription?.sdp, renewed,
    }, { again: true });
    return peer;
  }

  #take(track: MediaStreamTrack): void {
    this.#media.addTrack(track);
    if (track.kind === 'audio') {
      this.meter(track);
    }
    this.widget.video.play().catch(() => {
      if (!this.#blocked && !this.#ended) {
        this.#blocked = true;
        this.dispatch(new OTEvent('audioBlocked'));
      }
    });
  }

  /** Waits until a peer connection is there. */
  #established(peer: RTCPeerConnection): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#ended) reject(new OTError('OT_STREAM_DESTROYED', 'the stream has ended'));
        if (peer.connectionState === 'connected') resolve();
        if (peer.connectionState === 'failed') reject(new OTError('OT_ICE_WORKFLOW_FAILED', 'no media comes through'));
        if (peer.signalingState === 'closed') reject(new OTError('OT_STREAM_DESTROYED', 'the subscription has ended'));
      };
      peer.addEventListener('connectionstatechange', look);
      look();
    });
  }

  #stateChanged(peer: RTCPeerConnection): void {
    if (peer !== this.peer || !this.#connected) {
      return;
    }
    if (peer.connectionState === 'disconnected') {
      this.dispatch(new OTEvent('disconnected'));
    } else if (peer.connectionState === 'connected') {
      this.dispatch(new OTEvent('connected'));
    } else if (peer.connectionState === 'failed') {
      void this.#begin();
    }
  }

  /** Receives anew, after the loss of the media. */
  async #begin(): Promise<void> {
    try {
      const { sdpOffer } = await this.#link.request('subscribe', { streamId: this.streamId, ...this.#wanted() }, { again: true });
      await this.#answer(sdpOffer, false);
    } catch (failure) {
      console.warn('Mediarooms: a stream could not be received again', failure);
    }
  }

  #showsVideo(): boolean {
    return this.#video && Boolean(this.stream?.hasVideo);
  }

  /** Takes note that the publisher has switched the video. */
  videoSwitched(on: boolean): void {
    if (this.#video) {
      this.#videoChanged(on, 'publishVideo');
    }
  }

  /** Takes note that the server sends no video for want of bandwidth, or does again. */
  videoPaused(paused: boolean): void {
    this.#paused = paused;
    this.#warned = false;
    if (this.#showsVideo()) {
      this.#videoChanged(!paused, 'quality');
    }
  }

  protected listenedTo(name: string): void {
    super.listenedTo(name);
    if (qualityEvents.includes(name) && !this.#watch && !this.#ended) {
      this.#watch = new Watch(() => this.report(), () => this.stream?.videoType !== 'camera', (score) => this.#measured(score));
    }
  }

  /** Tells how well the stream comes, when that has changed. */
  #measured({ audioQualityScore, videoQualityScore }: QualityScore): void {
    const score = {
      audioQualityScore: this.#audio && this.stream?.hasAudio ? audioQualityScore : undefined,
      videoQualityScore: !this.#showsVideo() ? undefined : this.#paused ? 1 : videoQualityScore,
    };
    const before = this.#score;
    this.#score = score;
    if (score.audioQualityScore !== before.audioQualityScore || score.videoQualityScore !== before.videoQualityScore) {
      this.dispatch(new OTEvent('qualityScoreChanged', false, { qualityScore: score }));
    }
    const poor = score.videoQualityScore !== undefined && score.videoQualityScore <= 2 && !this.#paused;
    if (poor !== this.#warned && !this.#paused) {
      this.#warned = poor;
      this.dispatch(new OTEvent(poor ? 'videoDisableWarning' : 'videoDisableWarningLifted'));
    }
  }

  #videoChanged(on: boolean, reason: string): void {
    this.dispatch(new OTEvent(on ? 'videoEnabled' : 'videoDisabled', true, { reason }), () => this.showAudioOnly(!on));
  }

  get subscribeToAudio() {
    return twin((on: boolean, callback?: Callback): this => {
      this.#audio = on;
      this.#hear();
      settle(this.#deliver(), callback);
      return this;
    });
  }

  get subscribeToVideo() {
    return twin((on: boolean, callback?: Callback): this => {
      const changes = this.#video !== on;
      this.#video = on;
      settle(changes ? this.#deliver() : Promise.resolve(), callback);
      if (changes) {
        this.#videoChanged(on && Boolean(this.stream?.hasVideo), 'subscribeToVideo');
      }
      return this;
    });
  }

  async #deliver(): Promise<void> {
    await this.#link.request('deliver', this.#wanted(), { again: true });
  }

  /** What is wanted of the stream (opentok-rpc 2.10). */
  #wanted(): object {
    const maxFrameRate = this.#restricted ? restricted : this.#frameRate;
    return {
      subscriptionId: this.subscriptionId, audio: this.#audio, video: this.#video,
      ...(this.#resolution && { maxResolution: this.#resolution }), ...(maxFrameRate && { maxFrameRate }),
    };
  }

  /** Says which size of the video is of use: of a stream with layers the best that is not larger comes. */
  async setPreferredResolution(resolution: Resolution): Promise<void> {
    this.#resolution = resolutionOf(resolution);
    await this.#deliver();
  }

  /** Says which frame rate is of use: of a stream with layers no more pictures come. */
  async setPreferredFrameRate(frameRate: FrameRate): Promise<void> {
    this.#frameRate = frameRateOf(frameRate);
    await this.#deliver();
  }

  /** Has as few pictures come as there can, or as many as are preferred again. */
  async restrictFrameRate(on: boolean): Promise<void> {
    this.#restricted = Boolean(on);
    await this.#deliver();
  }

  #hear(): void {
    this.widget.video.muted = this.#muted || !this.#audio;
  }

  setAudioVolume(volume: number): this {
    this.widget.video.volume = Math.min(1, Math.max(0, volume / 100));
    return this;
  }

  getAudioVolume(): number {
    return Math.round(this.widget.video.volume * 100);
  }

  isAudioBlocked(): boolean {
    return this.#blocked;
  }

  /** Plays what the browser has blocked. It has to be called in a gesture of the user. */
  async unblock(): Promise<void> {
    if (this.#blocked) {
      await this.widget.video.play();
      this.#blocked = false;
      this.dispatch(new OTEvent('audioUnblocked'));
    }
  }

  getStats(callback: Callback<OT.SubscriberStats>): void {
    this.getRtcStats((report) => summary(report, 'inbound-rtp'), callback);
  }

  getRtcStatsReport(): Promise<RTCStatsReport> {
    return this.report();
  }

  /** Ends the reception. The session calls it. */
  end(reason: string): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#watch?.stop();
    this.endMedia();
    this.widget.remove();
    this.dispatch(new OTEvent('destroyed', false, { reason }));
  }

  async subscribeToCaptions(): Promise<void> { throw notSupported('subscribeToCaptions'); }
  isSubscribedToCaptions(): boolean { return false; }
}
