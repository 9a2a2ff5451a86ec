// What a session has in it, as applications see it.

/** An id that nobody else has. crypto.randomUUID is for secure contexts only. */
export function randomId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A size in pixels. */
export interface Dimensions {
  width: number;
  height: number;
}

/** A stream on the wire (opentok-rpc 2.1). */
export interface WireStream {
  id: string;
  subscriptionId?: string;
  createdAt: number;
  hasAudio: boolean;
  hasVideo: boolean;
  name: string;
  initials: string;
  videoType?: 'camera' | 'screen' | 'custom';
  frameRate?: number;
  videoDimensions?: Dimensions;
}

/** A connection on the wire (opentok-rpc 2.1). */
export interface WireConnection {
  id: string;
  createdAt: number;
  data: string;
  streams: WireStream[];
}

/** A client in the session. There is one object for each. */
export class Connection {
  readonly connectionId: string;
  readonly creationTime: number;
  readonly data: string;

  constructor(wire: WireConnection) {
    this.connectionId = wire.id;
    this.creationTime = wire.createdAt;
    this.data = wire.data;
  }

  get id(): string {
    return this.connectionId;
  }
}

/** A stream in the session. There is one object for each, which changes with it. */
export class Stream {
  readonly streamId: string;
  /** The id of a subscription to it that outlives the media pod. */
  readonly lastingId?: string;
  readonly creationTime: number;
  readonly name: string;
  readonly initials: string;
  readonly videoType?: 'camera' | 'screen' | 'custom';
  readonly frameRate?: number;
  readonly hasCaptions: boolean = false;
  hasAudio: boolean;
  hasVideo: boolean;
  videoDimensions: Dimensions;

  constructor(wire: WireStream, readonly connection: Connection) {
    this.streamId = wire.id;
    this.lastingId = wire.subscriptionId;
    this.creationTime = wire.createdAt;
    this.name = wire.name;
    this.initials = wire.initials;
    this.videoType = wire.videoType;
    this.frameRate = wire.frameRate;
    this.hasAudio = wire.hasAudio;
    this.hasVideo = wire.hasVideo;
    this.videoDimensions = wire.videoDimensions ?? { width: 0, height: 0 };
  }

  get id(): string {
    return this.streamId;
  }
}

/** What the client may do, as 0 and 1. */
export interface Capabilities {
  publish: 0 | 1;
  subscribe: 0 | 1;
  forceDisconnect: 0 | 1;
  forceUnpublish: 0 | 1;
  forceMute: 0 | 1;
}

export function capabilitiesOf(role: string): Capabilities {
  const moderates = role === 'moderator' ? 1 : 0;
  return {
    publish: role === 'subscriber' ? 0 : 1, subscribe: role === 'publisheronly' ? 0 : 1,
    forceDisconnect: moderates, forceUnpublish: moderates, forceMute: moderates,
  };
}

/** Values of properties, or a function that says which objects are meant. */
export type Matches<T> = { [Name in keyof T]?: unknown } | ((one: T) => boolean);

/** A list of objects under ids, in the order in which they came, with what old applications call on it. */
export class Collection<T extends object> {
  #all = new Map<string, T>();

  set(id: string, one: T): void {
    this.#all.set(id, one);
  }

  remove(id: string): void {
    this.#all.delete(id);
  }

  clear(): void {
    this.#all.clear();
  }

  get(id: string): T | undefined {
    return this.#all.get(id);
  }

  all(): T[] {
    return [...this.#all.values()];
  }

  length(): number {
    return this.#all.size;
  }

  where(matches?: Matches<T>): T[] {
    return this.all().filter((one) => typeof matches === 'function' ? matches(one) :
      Object.entries(matches ?? {}).every(([key, value]) => (one as Record<string, unknown>)[key] === value));
  }

  find(matches?: Matches<T>): T | undefined {
    return this.where(matches)[0];
  }

  forEach(each: (one: T) => void): void {
    this.all().forEach((one) => each(one));
  }
}
