// The client's end of opentok-rpc: requests, notifications, pings, and the way back after the loss of a socket.

import { OTError } from './errors.ts';

const pingEvery = 5000;
const patience = 5000; // for a pong, and for a socket to open
const requestTimeout = 20000;
const returnWithin = 30000;
const returnPauses = [0, 250, 500, 1000, 2000]; // the last one again and again

/** What a wire tells its owner. */
export interface WireOwner {
  notified(method: string, params: any): void;
  /** The socket is lost, and the wire tries to come back. */
  reconnecting(): void;
  /** It is back. With awaitsMedia another media pod goes on, without the client's media. */
  reconnected(awaitsMedia: boolean): void;
  /** It will not come back. */
  lost(): void;
}

interface Request {
  method: string;
  params: object;
  again: boolean; // it may be sent twice
  sent?: boolean;
  resolve(result: any): void;
  reject(error: OTError): void;
}

export interface RequestOptions {
  /** Whether it is sent, or sent again, once the wire is back. Without it a request fails when the socket is lost. */
  again?: boolean;
}

/** One connection to a session. */
export class Wire {
  #url: string;
  #owner: WireOwner;
  #socket?: WebSocket;
  #requests = new Map<number, Request>();
  #next = 1;
  #reconnectionId?: string;
  #open = false; // requests pass
  #returning = false; // resume passes, and nothing else
  #closed = false; // by the owner
  #pinging?: ReturnType<typeof setInterval>;

  constructor(url: string, owner: WireOwner) {
    const parsed = new URL(url);
    parsed.searchParams.delete('token'); // it is a secret, and URLs are logged
    this.#url = parsed.href;
    this.#owner = owner;
  }

  /** Opens the socket and returns the result of connect. */
  async connect(token: string): Promise<any> {
    await this.#dial();
    this.#open = true;
    const joined = await this.request('connect', { token, platform: navigator.userAgent });
    this.#reconnectionId = joined.reconnectionId;
    return joined;
  }

  /** Sends a request and returns its result. */
  request(method: string, params: object, options: RequestOptions = {}): Promise<any> {
    const passes = this.#open || (this.#returning && method === 'resume');
    if (this.#closed || (!passes && !options.again)) {
      return Promise.reject(new OTError('OT_NOT_CONNECTED', 'the session is not connected'));
    }
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const timer = setTimeout(() => this.#end(id)?.reject(new OTError('OT_TIMEOUT', `no answer to ${method}`)), requestTimeout);
      const request: Request = {
        method, params,
        again: options.again ?? false,
        resolve: (result) => { clearTimeout(timer); resolve(result); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      };
      this.#requests.set(id, request);
      if (passes) {
        this.#send(id, request);
      }
    });
  }

  /** Sends a request. What is sent again says so. */
  #send(id: number, request: Request): void {
    const { method, params, sent } = request;
    request.sent = true;
    this.#socket?.send(JSON.stringify({ jsonrpc: '2.0', method, params: sent ? { ...params, again: true } : params, id }));
  }

  /** Leaves the session, for good. */
  close(): void {
    if (this.#closed) {
      return;
    }
    if (this.#open) {
      this.#socket?.send(JSON.stringify({ jsonrpc: '2.0', method: 'leave', params: {}, id: this.#next++ }));
    }
    this.#closed = true;
    this.#drop();
    this.#fail(() => true);
  }

  /** Forgets the socket. */
  #drop(): void {
    this.#open = false;
    clearInterval(this.#pinging);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #dial(): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = () => reject(new OTError('OT_CONNECT_FAILED', 'the WebSocket can not be opened'));
      const socket = new WebSocket(this.#url);
      this.#socket = socket;
      const timer = setTimeout(() => { refuse(); socket.close(); }, patience);
      socket.onopen = () => {
        clearTimeout(timer);
        this.#beginPings(socket);
        resolve();
      };
      socket.onmessage = (message) => { if (this.#socket === socket) this.#receive(message.data); };
      socket.onclose = () => {
        clearTimeout(timer);
        refuse();
        if (this.#socket === socket) this.#ended();
      };
    });
  }

  #beginPings(socket: WebSocket): void {
    let waits = false;
    clearInterval(this.#pinging);
    const ping = () => {
      if (waits) {
        this.#ended();
        return;
      }
      waits = true;
      const id = this.#next++;
      this.#requests.set(id, { method: 'ping', params: {}, again: false, resolve: () => { waits = false; }, reject: () => {} });
      socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'ping', params: { interval: pingEvery }, id }));
    };
    this.#pinging = setInterval(ping, pingEvery);
    ping();
  }

  #receive(text: unknown): void {
    let message: any;
    try {
      message = JSON.parse(String(text));
    } catch {
      return; // it is none of ours
    }
    if (message.method) {
      this.#owner.notified(message.method, message.params ?? {});
      return;
    }
    const request = this.#end(message.id);
    if (message.error) {
      request?.reject(new OTError(message.error.data || 'OT_UNEXPECTED_SERVER_RESPONSE', message.error.message, message.error.code));
    } else {
      request?.resolve(message.result);
    }
  }

  #end(id: number): Request | undefined {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    return request;
  }

  #fail(which: (request: Request) => boolean): void {
    for (const [id, request] of this.#requests) {
      if (which(request)) {
        this.#requests.delete(id);
        request.reject(new OTError('OT_NOT_CONNECTED', 'the session is not connected'));
      }
    }
  }

  /** Takes note that the socket has ended. */
  #ended(): void {
    const joined = this.#reconnectionId !== undefined && this.#open;
    this.#drop();
    this.#fail((request) => !request.again);
    if (joined && !this.#closed) {
      this.#owner.reconnecting();
      void this.#comeBack();
    }
  }

  async #comeBack(): Promise<void> {
    const until = Date.now() + returnWithin;
    for (let tries = 0; Date.now() < until && !this.#closed; tries++) {
      await new Promise((resolve) => setTimeout(resolve, returnPauses[Math.min(tries, returnPauses.length - 1)]));
      try {
        await this.#dial();
        const waiting = [...this.#requests].filter(([, request]) => request.again);
        this.#returning = true;
        const resumed = await this.request('resume', { reconnectionId: this.#reconnectionId });
        this.#open = true;
        this.#owner.reconnected(resumed.awaitsMedia);
        waiting.forEach(([id, request]) => this.#send(id, request));
        return;
      } catch (error) {
        const refused = this.#socket?.readyState === WebSocket.OPEN && error instanceof OTError && error.name === 'OT_NOT_CONNECTED';
        this.#drop();
        if (refused) {
          break; // the connection is gone
        }
      } finally {
        this.#returning = false;
      }
    }
    this.#fail(() => true);
    if (!this.#closed) {
      this.#closed = true;
      this.#owner.lost();
    }
  }
}
