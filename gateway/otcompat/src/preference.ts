// Which size and which frame rate of a video an application prefers.

import { OTError } from './errors.ts';
import type { Dimensions } from './model.ts';

/** The most that is of use of a picture; 'auto' is no bound. */
export type Resolution = 'auto' | Dimensions;

/** In Hz; 'auto' is no bound. */
export type FrameRate = 'auto' | number;

/** Whether a value is a number that the server takes: it rounds. */
const positive = (value: unknown, most: number) => typeof value === 'number' && value >= 1 && value <= most;

/** Reads a preferred resolution. */
export function resolutionOf(resolution: Resolution | undefined): Dimensions | undefined {
  if (resolution === undefined || resolution === null || resolution === 'auto') {
    return undefined;
  }
  const { width, height } = resolution;
  if (!positive(width, 65536) || !positive(height, 65536)) {
    throw new OTError('OT_INVALID_PARAMETER', 'the resolution must be "auto", or have a width and a height in pixels');
  }
  return { width, height };
}

/** Reads a preferred frame rate. */
export function frameRateOf(frameRate: FrameRate | undefined): number | undefined {
  if (frameRate === undefined || frameRate === null || frameRate === 'auto') {
    return undefined;
  }
  if (!positive(frameRate, 1000)) {
    throw new OTError('OT_INVALID_PARAMETER', 'the frame rate must be "auto", or a number of pictures per second');
  }
  return frameRate;
}
