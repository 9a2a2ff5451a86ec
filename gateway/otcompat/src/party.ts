// What publishers and subscribers have in common.

import { Emitter } from './emitter.ts';
import { OTError, settle, type Callback } from './errors.ts';
import { OTEvent, VideoDimensionsChangedEvent } from './events.ts';
import type { Stream } from './model.ts';
import { Meter } from './sound.ts';
import type { Widget } from './widget.ts';
import type { RequestOptions } from './wire.ts';

/** What a session does for its publishers and subscribers. */
export interface Link {
  request(method: string, params: object, options?: RequestOptions): Promise<any>;
  /** Of peer connections. */
  configuration: RTCConfiguration;
}

/** One end of one stream: it has a widget, a peer connection and a meter. */
export abstract class Party extends Emitter {
  stream?: Stream;
  protected abstract widget: Widget;
  protected peer?: RTCPeerConnection;
  #meter?: Meter;
  #metered?: MediaStreamTrack;
  #size = { width: 0, height: 0 };

  get element(): HTMLElement | undefined {
    return this.widget.element;
  }

  get id(): string {
    return this.widget.id;
  }

  videoWidth(): number | undefined {
    return this.widget.video.videoWidth || undefined;
  }

  videoHeight(): number | undefined {
    return this.widget.video.videoHeight || undefined;
  }

  getImgData(): string | null {
    return this.widget.picture();
  }

  getStyle(): Record<string, string> {
    return { ...this.widget.options.style };
  }

  setStyle(names: string | Record<string, string>, value?: string): this {
    const styles = typeof names === 'string' ? { [names]: value ?? '' } : names;
    this.widget.options.style = { ...this.widget.options.style, ...styles };
    return this;
  }

  /** Takes a candidate of the server's that was not in its description. */
  candidate(candidate: RTCIceCandidateInit): void {
    this.peer?.addIceCandidate(candidate).catch((failure) => console.warn('Mediarooms: a candidate could not be taken', failure));
  }

  /** The statistics of the peer connection, as the browser has them. */
  protected report(): Promise<RTCStatsReport> {
    return this.peer?.getStats() ?? Promise.reject(new OTError('OT_NOT_CONNECTED', 'there is no peer connection'));
  }

  /** Tells the application when the size of the shown video changes. */
  protected watchSize(): void {
    this.widget.video.addEventListener('resize', () => {
      const { videoWidth: width, videoHeight: height } = this.widget.video;
      const before = this.#size;
      this.#size = { width, height };
      if (before.width) {
        this.dispatch(new VideoDimensionsChangedEvent(before, this.#size));
      }
      this.sizeChanged(this.#size);
    });
  }

  protected sizeChanged(_size: { width: number; height: number }): void {}

  /** Measures a track as long as somebody listens, or sees its level in the place of a video. */
  protected meter(track: MediaStreamTrack | undefined): void {
    this.#metered = track;
    this.#meter?.stop();
    this.#meter = undefined;
    if (track && (this.hasListeners('audioLevelUpdated') || this.widget.audioOnly)) {
      this.#meter = new Meter(track, (audioLevel) => {
        this.widget.level = audioLevel;
        this.dispatch(new OTEvent('audioLevelUpdated', false, { audioLevel }));
      });
    }
  }

  /** Shows no video, but the level of the sound, or the video again. */
  protected showAudioOnly(only: boolean): void {
    this.widget.audioOnly = only;
    if (only !== (this.#meter !== undefined)) {
      this.meter(this.#metered);
    }
  }

  protected listenedTo(name: string): void {
    if (name === 'audioLevelUpdated' && !this.#meter) {
      this.meter(this.#metered);
    }
  }

  /** Tells a callback the statistics. */
  getRtcStats<T>(read: (report: RTCStatsReport) => T, callback?: Callback<T>): void {
    settle(this.report().then(read), callback);
  }

  /** Ends the peer connection and the meter. */
  protected endMedia(): void {
    this.meter(undefined);
    this.peer?.close();
    this.peer = undefined;
  }
}

/** Returns a description whose side takes Opus in stereo (RFC 7587, section 6.1), which browsers do not say by themselves. */
export function inStereo(sdp: string): string {
  const opus = sdp.match(/^a=rtpmap:(\d+) opus\//im)?.[1];
  return opus && !/^a=fmtp:.*\bstereo=/m.test(sdp) ? sdp.replace(new RegExp(`^(a=fmtp:${opus} [^\\r\\n]*)`, 'm'), '$1;stereo=1') : sdp;
}

/** Returns the sums of what a report has of one direction, in the form that applications know. */
export function summary(report: RTCStatsReport, direction: 'inbound-rtp' | 'outbound-rtp'): { timestamp: number } & Record<string, any> {
  const result: { timestamp: number } & Record<string, any> = { timestamp: Date.now() };
  report.forEach((one: any) => {
    if (one.type !== direction) {
      return;
    }
    const sum = result[one.kind] ??= direction === 'inbound-rtp' ?
      { packetsReceived: 0, packetsLost: 0, bytesReceived: 0 } : { packetsSent: 0, packetsLost: 0, bytesSent: 0 };
    for (const name of Object.keys(sum)) {
      sum[name] += one[name] ?? 0;
    }
    if (one.kind === 'video') {
      sum.frameRate = one.framesPerSecond ?? sum.frameRate ?? 0;
      if (one.framesDecoded !== undefined) sum.decodedFrameRate = one.framesPerSecond ?? 0;
    }
  });
  return result;
}
