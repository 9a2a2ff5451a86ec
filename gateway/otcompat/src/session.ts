// A session: who is in it, what they send, and what they say to each other.

import { Emitter } from './emitter.ts';
import { asError, notSupported, OTError, settle } from './errors.ts';
import {
  ConnectionEvent, OTEvent, SessionConnectEvent, SessionDisconnectEvent, SignalEvent, StreamEvent, StreamPropertyChangedEvent,
} from './events.ts';
import { capabilitiesOf, Collection, Connection, randomId, Stream, type Capabilities, type Dimensions, type WireConnection, type WireStream } from './model.ts';
import type { Link } from './party.ts';
import { Publisher } from './publisher.ts';
import { Subscriber } from './subscriber.ts';
import { split, twin } from './twin.ts';
import { Wire, type RequestOptions } from './wire.ts';

/** Options of initSession. */
export interface SessionOptions {
  connectionEventsSuppressed?: boolean;
  iceConfig?: { includeServers?: 'all' | 'custom'; transportPolicy?: 'all' | 'relay'; customServers?: RTCIceServer[] };
  encryptionSecret?: string;
  /** Where the gateway is; otherwise where the script came from. */
  apiUrl?: string;
}

export interface SignalOptions {
  type?: string;
  data?: string;
  to?: Connection | { connectionId: string };
  retryAfterReconnect?: boolean;
}

type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting';

const signalType = /^[A-Za-z0-9_~-]{0,128}$/;
const maxSignalData = 8192; // bytes

/** The Compute Pressure API (W3C), as far as it is used. */
interface PressureObserver {
  observe(source: 'cpu'): Promise<void>;
}
declare global {
  var PressureObserver: (new (changed: (records: { state: 'nominal' | 'fair' | 'serious' | 'critical' }[]) => void) => PressureObserver) | undefined;
}

/** What the page has of all sessions. */
export interface Registers {
  apiUrl(): string;
  publishers: Collection<Publisher>;
  subscribers: Collection<Subscriber>;
  initPublisher(...args: unknown[]): Publisher;
  failed(error: OTError, target: unknown): void;
}

/** One session. */
export class Session extends Emitter {
  currentState: State = 'disconnected';
  connection?: Connection;
  capabilities?: Capabilities;
  readonly connections = new Collection<Connection>();
  readonly streams = new Collection<Stream>();
  #registers: Registers;
  #options: SessionOptions;
  #wire?: Wire;
  #link: Link;
  #publishers = new Set<Publisher>();
  #subscribers = new Set<Subscriber>();
  #archived = false; // now
  #pressure?: PressureObserver;
  #held?: (() => void)[]; // notifications while the first events are told

  constructor(registers: Registers, readonly apiKey: string, readonly sessionId: string, options: SessionOptions) {
    super();
    this.#registers = registers;
    this.#options = options;
    this.#link = { request: (...args) => this.#request(...args), configuration: {} };
    globalThis.addEventListener?.('pagehide', () => this.disconnect());
  }

  get id(): string {
    return this.sessionId;
  }

  /** The browser tells how busy the processor is, where it has the Compute Pressure API. */
  protected listenedTo(name: string): void {
    const Observer = globalThis.PressureObserver;
    if (name !== 'cpuPerformanceChanged' || this.#pressure || !Observer) {
      return;
    }
    this.#pressure = new Observer((records) => {
      const cpuPerformanceState = records.at(-1)?.state;
      this.dispatch(new OTEvent('cpuPerformanceChanged', false, { cpuPerformanceState }));
    });
    this.#pressure.observe('cpu').catch((failure) => console.warn('Mediarooms: the processor is not observed', failure));
  }

  isConnected(): boolean {
    return this.currentState === 'connected';
  }

  #request(method: string, params: object, options?: RequestOptions): Promise<any> {
    return this.#wire?.request(method, params, options) ?? Promise.reject(new OTError('OT_NOT_CONNECTED', 'the session is not connected'));
  }

  // --- coming and going

  connect = twin((...args: unknown[]): this => {
    const { callback, rest: [token] } = split(args);
    settle(this.#connect(token).catch((failure) => {
      const error = asError(failure, 'OT_CONNECT_FAILED');
      this.#registers.failed(error, this);
      throw error;
    }), callback);
    return this;
  });

  async #connect(token: unknown): Promise<void> {
    if (this.currentState !== 'disconnected') {
      throw new OTError('OT_INVALID_PARAMETER', `the session is ${this.currentState} already`);
    }
    if (typeof token !== 'string' || !token) {
      throw new OTError('OT_INVALID_PARAMETER', 'the token must be a text');
    }
    if (this.#options.encryptionSecret) {
      throw notSupported('encryptionSecret');
    }
    this.currentState = 'connecting';
    try {
      const url = await this.#join(token);
      const wire = new Wire(url, {
        notified: (method, params) => this.#notified(method, params),
        reconnecting: () => { this.currentState = 'reconnecting'; this.dispatch(new OTEvent('sessionReconnecting')); },
        reconnected: (awaitsMedia) => this.#reconnected(awaitsMedia),
        lost: () => this.#ended('networkDisconnected'),
      });
      this.#wire = wire;
      this.#held = [];
      this.#joined(await wire.connect(url));
    } catch (failure) {
      this.currentState = 'disconnected';
      this.#wire?.close();
      this.#wire = undefined;
      throw failure;
    }
  }

  /** Asks the gateway to be let in, and returns the URL of the WebSocket. */
  async #join(token: string): Promise<string> {
    const base = (this.#options.apiUrl ?? this.#registers.apiUrl()).replace(/\/+$/, '');
    let response: Response;
    try {
      response = await fetch(`${base}/opentok/join`, {
        method: 'POST', credentials: 'omit', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ apiKey: String(this.apiKey), sessionId: this.sessionId, token }),
      });
    } catch {
      throw new OTError('OT_CONNECT_FAILED', `${base} can not be reached`);
    }
    const body = await response.json().catch(() => undefined);
    if (!response.ok) {
      throw new OTError(body?.name ?? 'OT_INVALID_HTTP_STATUS', body?.message ?? `${base} answers ${response.status}`);
    }
    if (typeof body?.url !== 'string') {
      throw new OTError('OT_BADLY_FORMED_RESPONSE', `${base} names no WebSocket`);
    }
    return body.url;
  }

  #joined(joined: any): void {
    const { includeServers, customServers = [], transportPolicy } = this.#options.iceConfig ?? {};
    this.#link.configuration = {
      iceServers: [...(includeServers === 'custom' ? [] : joined.iceServers), ...customServers], iceTransportPolicy: transportPolicy,
    };
    this.capabilities = capabilitiesOf(joined.role);
    this.connection = new Connection(joined.connection);
    this.currentState = 'connected';
    this.dispatch(new SessionConnectEvent());
    // The application's callback comes between this and what follows, and its listeners for streams in it.
    setTimeout(() => this.#tellWhoIsThere(joined));
  }

  #tellWhoIsThere(joined: any): void {
    if (!this.#held) {
      return; // it is out of the session again
    }
    const others = [...joined.connections as WireConnection[]].sort((a, b) => a.createdAt - b.createdAt);
    for (const wire of [joined.connection, ...others]) {
      this.#addConnection(wire);
    }
    setTimeout(() => {
      for (const { id, streams } of others) {
        streams.forEach((stream) => this.#addStream(id, stream));
      }
      if (joined.archive) {
        this.#archive('archiveStarted', joined.archive);
      }
      const held = this.#held ?? [];
      this.#held = undefined;
      held.forEach((tell) => tell());
    });
  }

  disconnect(): void {
    if (this.currentState !== 'disconnected') {
      this.#ended('clientDisconnected');
    }
  }

  /** Takes note that the client is out of the session. */
  #ended(reason: string): void {
    this.#wire?.close();
    this.#wire = undefined;
    this.#held = undefined;
    const connected = this.connection !== undefined;
    this.currentState = 'disconnected';
    for (const publisher of this.#publishers) {
      this.#registers.publishers.remove(publisher.id);
      publisher.ended(reason);
    }
    this.#publishers.clear();
    this.connections.clear();
    this.streams.clear();
    this.#archived = false;
    if (connected) {
      this.dispatch(new SessionDisconnectEvent(reason), () => [...this.#subscribers].forEach((one) => this.#drop(one, reason)));
    }
    this.connection = undefined;
    this.capabilities = undefined;
  }

  #reconnected(awaitsMedia: boolean): void {
    this.currentState = 'connected';
    this.dispatch(new OTEvent('sessionReconnected'));
    if (awaitsMedia) {
      this.#publishers.forEach((publisher) => void publisher.renegotiate());
    }
    this.#subscribers.forEach((subscriber) => subscriber.deliverAgain());
  }

  // --- what the server tells

  #notified(method: string, params: any): void {
    if (this.#held) {
      this.#held.push(() => this.#notified(method, params));
      return;
    }
    switch (method) {
      case 'connectionCreated': this.#addConnection(params); break;
      case 'connectionDestroyed': this.#removeConnection(params.connectionId, params.reason); break;
      case 'streamCreated': this.#addStream(params.connectionId, params.stream); break;
      case 'streamDestroyed': this.#removeStream(params.streamId, params.reason); break;
      case 'streamPropertyChanged': this.#changed(params); break;
      case 'signal': this.#signalled(params); break;
      case 'muteForced': this.#publisherOf(params.streamId)?.mute(); break;
      case 'forceMuteChanged': this.dispatch(new OTEvent('muteForced', false, { active: params.active })); break;
      case 'archiveStarted':
      case 'archiveStopped': this.#archive(method, params); break;
      case 'videoPaused': this.#subscriber(params.subscriptionId)?.videoPaused(params.paused); break;
      case 'subscriptionRenewed': void this.#subscriber(params.subscriptionId)?.renew(params.sdpOffer); break;
      case 'iceCandidate': this.#candidate(params); break;
      case 'roleChanged': this.capabilities = capabilitiesOf(params.role); break;
      case 'disconnected': this.#ended(params.reason); break;
    }
  }

  #archive(type: 'archiveStarted' | 'archiveStopped', { id, name }: { id: string; name: string }): void {
    this.#archived = type === 'archiveStarted';
    this.#publishers.forEach((publisher) => publisher.archived(this.#archived));
    this.dispatch(new OTEvent(type, false, { id, name }));
  }

  #candidate({ streamId, subscriptionId, ...candidate }: any): void {
    (subscriptionId ? this.#subscriber(subscriptionId) : this.#publisherOf(streamId))?.candidate(candidate);
  }

  #addConnection(wire: WireConnection): void {
    if (this.connections.get(wire.id)) {
      return;
    }
    const connection = wire.id === this.connection?.connectionId ? this.connection : new Connection(wire);
    this.connections.set(wire.id, connection);
    if (!this.#options.connectionEventsSuppressed) {
      this.dispatch(new ConnectionEvent('connectionCreated', connection));
    }
  }

  #removeConnection(id: string, reason: string): void {
    const connection = this.connections.get(id);
    if (!connection) {
      return;
    }
    this.streams.where((stream) => stream.connection === connection).forEach((stream) => this.#removeStream(stream.streamId, reason));
    this.connections.remove(id);
    if (!this.#options.connectionEventsSuppressed) {
      this.dispatch(new ConnectionEvent('connectionDestroyed', connection, reason));
    }
  }

  #addStream(connectionId: string, wire: WireStream): void {
    const connection = this.connections.get(connectionId);
    if (connection && !this.streams.get(wire.id)) {
      const stream = new Stream(wire, connection);
      this.streams.set(wire.id, stream);
      this.dispatch(new StreamEvent('streamCreated', stream));
    }
  }

  #removeStream(id: string, reason: string): void {
    const publisher = this.#publisherOf(id);
    if (publisher) {
      this.#forget(publisher, reason);
      return;
    }
    const stream = this.streams.get(id);
    if (stream) {
      this.streams.remove(id);
      this.dispatch(new StreamEvent('streamDestroyed', stream, reason),
        () => this.getSubscribersForStream(stream).forEach((one) => this.#drop(one, reason)));
    }
  }

  #changed({ streamId, hasAudio, hasVideo, videoDimensions }: any): void {
    const stream = this.streams.get(streamId);
    if (!stream) {
      return;
    }
    if (hasAudio !== undefined) this.changeStream(stream, 'hasAudio', hasAudio);
    if (hasVideo !== undefined) this.changeStream(stream, 'hasVideo', hasVideo);
    if (videoDimensions) this.changeStream(stream, 'videoDimensions', videoDimensions);
  }

  /** Changes a property of a stream and tells the application. */
  changeStream(stream: Stream, property: 'hasAudio' | 'hasVideo' | 'videoDimensions', value: boolean | Dimensions): void {
    const before = stream[property];
    if (before === value) {
      return;
    }
    (stream as any)[property] = value;
    this.dispatch(new StreamPropertyChangedEvent(stream, property, before, value));
    if (property === 'hasVideo') {
      this.getSubscribersForStream(stream).forEach((one) => one.videoSwitched(Boolean(value)));
    }
  }

  #signalled({ from, type, data }: any): void {
    const sender = from === undefined ? null : this.connections.get(from);
    if (sender === undefined) {
      return; // it has left
    }
    const event = new SignalEvent(type, data, sender);
    this.dispatch(event, undefined, type ? ['signal', event.type] : ['signal']);
  }

  // --- what the client sends and receives

  publish = twin((...args: unknown[]): Publisher => {
    const { callback, rest } = split(args);
    const publisher = rest[0] instanceof Publisher ? rest[0] : this.#registers.initPublisher(...rest);
    const failed = (failure: unknown) => {
      const error = asError(failure, 'OT_STREAM_CREATE_FAILED');
      this.#registers.failed(error, publisher);
      throw error;
    };
    settle(this.#publish(publisher).catch(failed), callback);
    return publisher;
  });

  async #publish(publisher: Publisher): Promise<void> {
    if (!this.connection) {
      throw new OTError('OT_NOT_CONNECTED', 'the session is not connected');
    }
    if (!this.capabilities?.publish) {
      throw new OTError('OT_PERMISSION_DENIED', 'the role of the token may not publish');
    }
    const stream = await publisher.start(this, this.#link, this.connection);
    this.#publishers.add(publisher);
    this.#registers.publishers.set(publisher.id, publisher);
    if (this.#archived) {
      publisher.archived(true);
    }
    publisher.dispatch(new StreamEvent('streamCreated', stream));
  }

  unpublish(publisher: Publisher): void {
    this.endPublisher(publisher, 'clientDisconnected');
  }

  /** Ends a publisher of this session, for a reason that its own application is told. */
  endPublisher(publisher: Publisher, reason: string): void {
    if (this.#publishers.has(publisher) && publisher.stream) {
      this.#request('unpublish', { streamId: publisher.stream.streamId }, { again: true }).catch(() => {});
      this.#forget(publisher, reason);
    }
  }

  #forget(publisher: Publisher, reason: string): void {
    this.#publishers.delete(publisher);
    this.#registers.publishers.remove(publisher.id);
    publisher.ended(reason);
  }

  subscribe = twin((stream: Stream, ...args: unknown[]): Subscriber => {
    const { callback, rest } = split(args);
    const options = rest.find((arg) => arg && typeof arg === 'object' && !(arg instanceof HTMLElement)) ?? {};
    const target = rest.find((arg) => typeof arg === 'string' || arg instanceof HTMLElement);
    const own = this.#publisherOf(stream?.streamId) !== undefined;
    const refusal = !(stream instanceof Stream) ? new OTError('OT_INVALID_PARAMETER', 'a stream must be given') :
      own && !options.testNetwork ? new OTError('OT_INVALID_PARAMETER', 'the own stream needs testNetwork') :
      this.capabilities?.subscribe === 0 ? new OTError('OT_PERMISSION_DENIED', 'the role of the token may not subscribe', 1009) : undefined;
    if (refusal) {
      settle(Promise.reject(refusal), callback);
      return undefined as unknown as Subscriber;
    }
    const subscriber = new Subscriber(this, this.#link, stream, target, options, this.#newSubscriptionId(stream));
    this.#subscribers.add(subscriber);
    this.#registers.subscribers.set(subscriber.id, subscriber);
    settle(subscriber.start().catch((failure) => {
      this.#drop(subscriber, 'subscribeFailed');
      throw asError(failure, 'OT_CREATE_PEER_CONNECTION_FAILED');
    }), callback);
    return subscriber;
  });

  /** The lasting id of the stream is for the first subscription to it. */
  #newSubscriptionId({ lastingId }: Stream): string {
    return lastingId && !this.#subscriber(lastingId) ? lastingId : randomId();
  }

  unsubscribe(subscriber: Subscriber): this {
    if (this.#subscribers.has(subscriber)) {
      this.#request('unsubscribe', { subscriptionId: subscriber.subscriptionId }, { again: true }).catch(() => {});
      this.#drop(subscriber, 'unsubscribed');
    }
    return this;
  }

  #drop(subscriber: Subscriber, reason: string): void {
    this.#subscribers.delete(subscriber);
    this.#registers.subscribers.remove(subscriber.id);
    subscriber.end(reason);
  }

  #publisherOf(streamId: string | undefined): Publisher | undefined {
    return [...this.#publishers].find((publisher) => publisher.stream?.streamId === streamId);
  }

  #subscriber(id: string): Subscriber | undefined {
    return [...this.#subscribers].find((subscriber) => subscriber.subscriptionId === id);
  }

  getPublisherForStream(stream: Stream): Publisher | undefined {
    return this.#publisherOf(stream.streamId);
  }

  getSubscribersForStream(stream: Stream): Subscriber[] {
    return [...this.#subscribers].filter((subscriber) => subscriber.stream === stream);
  }

  // --- what clients say and do to each other

  signal = twin((...args: unknown[]): void => {
    const { callback, rest: [signal = {}] } = split(args);
    settle(this.#signal(signal).catch((failure) => {
      throw Object.assign(asError(failure, 'OT_UNEXPECTED_SERVER_RESPONSE'), { signal });
    }), callback);
  });

  async #signal({ type, data, to, retryAfterReconnect = true }: SignalOptions): Promise<void> {
    if (type !== undefined && type !== null && !signalType.test(type)) {
      throw new OTError('OT_INVALID_PARAMETER', 'type must have at most 128 letters, digits, -, _ and ~');
    }
    if (data !== undefined && data !== null && (typeof data !== 'string' || new TextEncoder().encode(data).length > maxSignalData)) {
      throw new OTError('OT_INVALID_PARAMETER', `data must be a text of at most ${maxSignalData} bytes`);
    }
    if (to !== undefined && to !== null && typeof to.connectionId !== 'string') {
      throw new OTError('OT_INVALID_PARAMETER', 'to must be a connection');
    }
    if (!this.connection) {
      throw new OTError('OT_NOT_CONNECTED', 'the session is not connected');
    }
    await this.#request('signal', { type: type || undefined, data: data ?? undefined, to: to?.connectionId }, { again: retryAfterReconnect });
  }

  forceDisconnect = twin((...args: unknown[]): void => {
    const { callback, rest: [connection] } = split(args);
    const connectionId = typeof connection === 'string' ? connection : connection?.connectionId;
    settle(this.#moderate('forceDisconnect', { connectionId }, connectionId), callback);
  });

  forceUnpublish = twin((...args: unknown[]): void => {
    const { callback, rest: [stream] } = split(args);
    const streamId = typeof stream === 'string' ? stream : stream?.streamId;
    settle(this.#moderate('forceUnpublish', { streamId }, streamId), callback);
  });

  forceMuteStream(stream: Stream): Promise<void> {
    return this.#moderate('forceMute', { streamId: stream?.streamId }, stream?.streamId);
  }

  forceMuteAll(excluded: Stream[] = []): Promise<void> {
    return this.#moderate('forceMuteAll', { excludedStreamIds: excluded.map((stream) => stream.streamId) }, 'all');
  }

  disableForceMute(): Promise<void> {
    return this.#moderate('disableForceMute', {}, 'all');
  }

  async #moderate(method: string, params: object, whom: unknown): Promise<void> {
    if (typeof whom !== 'string' || !whom) {
      throw new OTError('OT_INVALID_PARAMETER', 'a connection or stream must be given');
    }
    await this.#request(method, params);
  }

  async setEncryptionSecret(): Promise<void> { throw notSupported('setEncryptionSecret'); }

  async setIceConfig(config: NonNullable<SessionOptions['iceConfig']>): Promise<void> {
    this.#options = { ...this.#options, iceConfig: config };
  }
}
