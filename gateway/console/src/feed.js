// What the gateway says, asked for again and again while somebody looks.

const INTERVAL = 2000;
const PAUSE = 5000;

/** An answer other than success. */
export class Refusal extends Error {
  /**
   * @param {string} code as the gateway names it
   * @param {number} status
   */
  constructor(code, status) {
    super(code);
    this.code = code;
    this.status = status;
  }
}

/** Whether there is no use in asking again. */
export function final({ status }) {
  return status >= 400 && status < 500 && status !== 429;
}

export class Feed {
  #credential;
  #tags = new Map();
  #running = null;
  /** How far the gateway's clock is ahead of this one, in milliseconds. */
  #ahead = 0;

  /** @param {import('./credential.js').Credential} credential */
  constructor(credential) {
    this.#credential = credential;
  }

  /** The time at the gateway, in seconds. */
  now() {
    return (Date.now() + this.#ahead) / 1000;
  }

  /**
   * Asks once. What has not changed is the same object as before.
   *
   * @param {string} endpoint
   * @param {Record<string, string>} query
   */
  async ask(endpoint, query, signal) {
    const url = `/console/api/${endpoint}?${new URLSearchParams(query)}`;
    const known = this.#tags.get(url);
    const headers = { Authorization: this.#credential.header };
    if (known) {
      headers['If-None-Match'] = known.tag;
    }
    const answer = await fetch(url, { headers, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' });
    const date = Date.parse(answer.headers.get('Date') ?? '');
    if (date) {
      this.#ahead = date - Date.now();
    }
    if (answer.status === 304 && known) {
      return known.body;
    }
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Refusal(body.code ?? 'other', answer.status);
    }
    this.#tags.clear();
    this.#tags.set(url, { tag: answer.headers.get('ETag'), body });
    return body;
  }

  /**
   * Asks until it is told to follow something else, or to stop. A page that nobody sees asks nothing.
   *
   * @param {string} endpoint
   * @param {Record<string, string>} query
   * @param {(body: object) => void} tell after each answer
   * @param {(refusal: Refusal) => void} fail after each that failed
   */
  follow(endpoint, query, tell, fail) {
    this.stop();
    const running = new AbortController();
    this.#running = running;
    const loop = async () => {
      while (!running.signal.aborted) {
        let pause = INTERVAL;
        try {
          const body = await this.ask(endpoint, query, running.signal);
          if (!running.signal.aborted) {
            tell(body);
          }
        } catch (error) {
          if (running.signal.aborted) {
            return;
          }
          const refusal = error instanceof Refusal ? error : new Refusal('unreachable', 0);
          fail(refusal);
          if (final(refusal)) {
            return;
          }
          pause = PAUSE;
        }
        await wait(pause, running.signal);
        await seen(running.signal);
      }
    };
    loop();
  }

  /** Asks no more. */
  stop() {
    this.#running?.abort();
  }
}

function wait(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
  });
}

/** Waits until the page is seen. */
function seen(signal) {
  return new Promise((done) => {
    if (!document.hidden) {
      done();
      return;
    }
    document.addEventListener('visibilitychange', done, { once: true, signal });
    signal.addEventListener('abort', done, { once: true });
  });
}
