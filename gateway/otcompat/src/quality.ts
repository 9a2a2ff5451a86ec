// How well a stream comes, from the figures that the browser has of it, as scores from 1 (bad) to 5 (excellent).

/** What has come of a stream so far: sums, but for delay. */
export interface Figures {
  audio?: {
    samples: number;
    /** Samples that the decoder had to make up. */
    concealed: number;
    /** Of the last sound, from the sender's side to here, in ms. */
    delay: number;
  };
  video?: { packets: number; lost: number; frames: number; frozen: number /* s */; at: number /* ms */ };
}

/** The scores; undefined where there is no sound or no video, or nothing is known. */
export interface QualityScore {
  audioQualityScore?: number;
  videoQualityScore?: number;
}

/** Reads what a report has of what is received. */
export function figuresOf(report: Iterable<[string, any]> | RTCStatsReport): Figures {
  const all = [...(report as Iterable<[string, any]>)].map(([, one]) => one);
  const way = all.find((one) => one.type === 'candidate-pair' && one.nominated && one.state === 'succeeded');
  const figures: Figures = {};
  for (const one of all) {
    if (one.type !== 'inbound-rtp') {
      continue;
    }
    if (one.kind === 'audio' && one.packetsReceived > 0) {
      const buffered = one.jitterBufferEmittedCount ? one.jitterBufferDelay / one.jitterBufferEmittedCount : 0;
      figures.audio = {
        samples: one.totalSamplesReceived ?? 0, concealed: one.concealedSamples ?? 0,
        delay: ((way?.currentRoundTripTime ?? 0) / 2 + buffered) * 1000,
      };
    }
    if (one.kind === 'video' && one.framesDecoded > 0) {
      figures.video = {
        packets: one.packetsReceived, lost: one.packetsLost, frames: one.framesDecoded, frozen: one.totalFreezesDuration ?? 0, at: one.timestamp,
      };
    }
  }
  return figures;
}

/** Returns the scores of what has come between two reports. A video that may stand still is not bad for that. */
export function scoresOf(before: Figures, now: Figures, still: boolean): QualityScore {
  return { audioQualityScore: audioScore(before.audio, now.audio), videoQualityScore: videoScore(before.video, now.video, still) };
}

// The E-model (ITU-T G.107) in its simple form, for a codec that is as good as the model has them without loss.
const bestRating = 93.2;
const bestMOS = 4.41;
const robustness = 10; // Bpl, in percent

function audioScore(before: Figures['audio'], now: Figures['audio']): number | undefined {
  const samples = now && before ? now.samples - before.samples : 0;
  if (!now || !before || samples <= 0) {
    return undefined;
  }
  const lost = Math.max(0, now.concealed - before.concealed) / samples * 100;
  const late = 0.024 * now.delay + 0.11 * Math.max(0, now.delay - 177.3);
  const rating = Math.min(100, Math.max(0, bestRating - late - 95 * lost / (lost + robustness)));
  const opinion = 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6;
  return Math.min(5, Math.max(1, Math.round(1 + (opinion - 1) * 4 / (bestMOS - 1))));
}

/** The most of the time that a picture may stand still, and of the packets that may be lost, for the scores from 5 to 2. */
const tolerated = [[0, 0.005], [0.02, 0.02], [0.08, 0.05], [0.25, 0.15]] as const;

function videoScore(before: Figures['video'], now: Figures['video'], still: boolean): number | undefined {
  if (!now || !before || now.at <= before.at || now.packets < before.packets) {
    return undefined;
  }
  if (now.frames === before.frames) {
    return still ? undefined : 1;
  }
  const lost = Math.max(0, now.lost - before.lost);
  const frozen = (now.frozen - before.frozen) * 1000 / (now.at - before.at);
  const step = tolerated.findIndex(([time, share]) => frozen <= time && lost / (lost + now.packets - before.packets) <= share);
  return step < 0 ? 1 : 5 - step;
}

const interval = 1000; // ms

/** Looks at the figures once a second until it is stopped. */
export class Watch {
  #timer: ReturnType<typeof setInterval>;
  #before?: Figures;

  constructor(report: () => Promise<RTCStatsReport>, still: () => boolean, measured: (score: QualityScore) => void) {
    this.#timer = setInterval(async () => {
      const now = await report().then(figuresOf, () => undefined);
      if (now && this.#before) {
        measured(scoresOf(this.#before, now, still()));
      }
      this.#before = now;
    }, interval);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#before = undefined;
  }
}
