// Cameras, microphones and screens.

import { asError, OTError } from './errors.ts';

/** A camera or microphone, as applications know it. */
export interface Device {
  deviceId: string;
  kind: 'audioInput' | 'videoInput';
  label: string;
}

/** What a device is given by: its id, a track, on (true or undefined), or off. */
export type Source = string | MediaStreamTrack | boolean | null | undefined;

/** Options of what is captured. */
export interface CaptureOptions {
  audioSource?: Source;
  videoSource?: Source;
  resolution?: string;
  frameRate?: number;
  facingMode?: string;
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  autoGainControl?: boolean;
  enableStereo?: boolean;
}

/** Returns the cameras and microphones. */
export async function listDevices(): Promise<Device[]> {
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter((d) => d.kind !== 'audiooutput').map((d) => ({
    deviceId: d.deviceId, kind: d.kind === 'audioinput' ? 'audioInput' : 'videoInput', label: d.label,
  }));
}

const off = (source: Source) => source === null || source === false;

/** Whether a source is the screen, a window or a tab. */
export const isScreen = (source: Source) => source === 'screen' || source === 'window' || source === 'application' || source === 'browser';

/** Captures what the options ask for. */
export async function capture(options: CaptureOptions): Promise<MediaStream> {
  if (off(options.audioSource) && off(options.videoSource)) {
    throw new OTError('OT_NO_VALID_CONSTRAINTS', 'audioSource and videoSource can not both be off');
  }
  const tracks = [options.audioSource, options.videoSource].filter((source) => source instanceof MediaStreamTrack);
  const asked: MediaStreamConstraints = {};
  if (!off(options.audioSource) && !(options.audioSource instanceof MediaStreamTrack) && !isScreen(options.videoSource)) {
    asked.audio = audioConstraints(options);
  }
  if (!off(options.videoSource) && !(options.videoSource instanceof MediaStreamTrack) && !isScreen(options.videoSource)) {
    asked.video = videoConstraints(options);
  }
  try {
    if (isScreen(options.videoSource)) {
      const screen = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: options.audioSource === true });
      tracks.push(...screen.getTracks());
      if (typeof options.audioSource === 'string') {
        tracks.push(...(await navigator.mediaDevices.getUserMedia({ audio: audioConstraints(options) })).getTracks());
      }
    }
    if (asked.audio || asked.video) {
      tracks.push(...(await navigator.mediaDevices.getUserMedia(asked)).getTracks());
    }
  } catch (failure) {
    throw asError(failure, 'OT_HARDWARE_UNAVAILABLE');
  }
  return new MediaStream(tracks);
}

function audioConstraints(options: CaptureOptions): MediaTrackConstraints {
  const { audioSource, echoCancellation, noiseSuppression, autoGainControl } = options;
  return {
    ...(typeof audioSource === 'string' && { deviceId: { exact: audioSource } }),
    ...(options.enableStereo && { channelCount: 2 }),
    ...(echoCancellation !== undefined && { echoCancellation }),
    ...(noiseSuppression !== undefined && { noiseSuppression }),
    ...(autoGainControl !== undefined && { autoGainControl }),
  };
}

function videoConstraints(options: CaptureOptions): MediaTrackConstraints {
  const [width, height] = (options.resolution ?? '640x480').split('x').map(Number);
  return {
    width: { ideal: width || 640 }, height: { ideal: height || 480 },
    ...(options.frameRate && { frameRate: { ideal: options.frameRate } }),
    ...(typeof options.videoSource === 'string' ? { deviceId: { exact: options.videoSource } } :
      options.facingMode ? { facingMode: options.facingMode } : {}),
  };
}
