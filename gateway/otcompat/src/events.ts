// The events that applications get.

import type { Connection, Stream } from './model.ts';

/** The base of all events. Only cancelable ones have a default action. */
export class OTEvent {
  target: any;
  #prevented = false;

  constructor(readonly type: string, readonly cancelable = false, fields: object = {}) {
    Object.assign(this, fields);
  }

  /** Whether preventDefault was called. */
  isDefaultPrevented(): boolean {
    return this.#prevented;
  }

  /** Prevents the default action, where the event has one. */
  preventDefault(): void {
    this.#prevented = true;
  }
}

/** A client has joined or left: connectionCreated, without a reason, or connectionDestroyed. */
export class ConnectionEvent extends OTEvent {
  /** The one connection, in a list: for old applications. */
  readonly connections: Connection[];

  constructor(type: 'connectionCreated' | 'connectionDestroyed', readonly connection: Connection, readonly reason?: string) {
    super(type);
    this.connections = [connection];
  }
}

/** A stream has begun or ended. Its end has a default action. */
export class StreamEvent extends OTEvent {
  readonly streams: Stream[];

  constructor(type: 'streamCreated' | 'streamDestroyed', readonly stream: Stream, readonly reason?: string) {
    super(type, type === 'streamDestroyed');
    this.streams = [stream];
  }
}

/** The client has joined. The lists are empty: each connection and stream has an event of its own. */
export class SessionConnectEvent extends OTEvent {
  readonly connections: Connection[] = [];
  readonly streams: Stream[] = [];

  constructor() {
    super('sessionConnected');
  }
}

/** The client is out of the session. */
export class SessionDisconnectEvent extends OTEvent {
  constructor(readonly reason: string) {
    super('sessionDisconnected', true);
  }
}

/** A property of a stream has changed. */
export class StreamPropertyChangedEvent extends OTEvent {
  constructor(readonly stream: Stream, readonly changedProperty: string, readonly oldValue: unknown, readonly newValue: unknown) {
    super('streamPropertyChanged');
  }
}

/** A signal. Its type has the prefix signal: when it has one; from is null for one of the server. */
export class SignalEvent extends OTEvent {
  constructor(kind: string | undefined, readonly data: string | undefined, readonly from: Connection | null) {
    super(kind ? `signal:${kind}` : 'signal');
  }
}

/** The size of a video has changed. */
export class VideoDimensionsChangedEvent extends OTEvent {
  constructor(readonly oldValue: { width: number; height: number }, readonly newValue: { width: number; height: number }) {
    super('videoDimensionsChanged');
  }
}
