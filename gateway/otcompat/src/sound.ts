// How loud a track is.

const interval = 100; // ms

let context: AudioContext | undefined;

/** The one audio context of the page. It does not run before the user has done something. */
export function audioContext(): AudioContext {
  context ??= new AudioContext();
  return context;
}

/** Measures a track ten times a second until it is stopped, from 0 to 1. */
export class Meter {
  #timer: ReturnType<typeof setInterval>;
  #source: MediaStreamAudioSourceNode;

  constructor(track: MediaStreamTrack, measured: (level: number) => void) {
    const analyser = audioContext().createAnalyser();
    analyser.fftSize = 1024;
    this.#source = audioContext().createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      measured(Math.min(1, samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)));
    }, interval);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#source.disconnect();
  }
}
