// The types of Mediarooms' library for applications written for the OpenTok.js v2 API. Apache-2.0.
// Not affiliated with, or endorsed by, the vendor of OpenTok.
//
// The script element makes OT a global. Modules import opentok.mjs, or @opentok/client where the bundler has opentok.mjs in its
// place: both have the same names, and OT as the default.

declare namespace OT {
  // --- what others are made of

  /** The name begins with OT_. The number is for old applications. */
  interface OTError extends Error {
    readonly code: number;
  }

  /** Is called without an error when all went well. */
  type Callback<Result = void> = (error?: OTError | null, result?: Result) => void;

  /** A place in the document: an element, or its id. */
  type Target = string | HTMLElement | null | undefined;

  interface Dimensions {
    width: number;
    height: number;
  }

  /** The base of all events. */
  interface Event<Type extends string = string, Of = any> {
    readonly type: Type;
    readonly target: Of;
    /** Whether it has a default action. */
    readonly cancelable: boolean;
    isDefaultPrevented(): boolean;
    preventDefault(): void;
  }

  /** Handlers by the names of their events. */
  type Handlers<Events> = { [Name in keyof Events]?: (this: any, event: Events[Name]) => void };

  /** Handlers of several events, or of such that this library does not have. */
  type AnyHandler = (this: any, event: any) => void;

  /** What can be listened to. A string may name several events, with spaces between them. All methods return the object. */
  interface Emitter<Events> {
    on<Name extends keyof Events & string>(name: Name, handler: (this: any, event: Events[Name]) => void, context?: object): this;
    on(handlers: Handlers<Events>, context?: object): this;
    on(names: string, handler: AnyHandler, context?: object): this;
    on(handlers: Record<string, AnyHandler>, context?: object): this;
    once<Name extends keyof Events & string>(name: Name, handler: (this: any, event: Events[Name]) => void, context?: object): this;
    once(handlers: Handlers<Events>, context?: object): this;
    once(names: string, handler: AnyHandler, context?: object): this;
    once(handlers: Record<string, AnyHandler>, context?: object): this;
    /** Without arguments it ends all listening. */
    off(names?: string, handler?: AnyHandler, context?: object): this;
    off(handlers: Handlers<Events> | Record<string, AnyHandler>, context?: object): this;
    addEventListener(name: string, handler: AnyHandler, context?: object): this;
    removeEventListener(name: string, handler: AnyHandler, context?: object): this;
  }

  /** A list of objects under ids, in the order in which they came. */
  interface Collection<One> {
    get(id: string): One | undefined;
    length(): number;
    where(matches?: Partial<One> | ((one: One) => boolean)): One[];
    find(matches?: Partial<One> | ((one: One) => boolean)): One | undefined;
    forEach(each: (one: One) => void): void;
  }

  // --- who and what is in a session

  /** A client in the session. There is one object for each. */
  interface Connection {
    readonly connectionId: string;
    readonly id: string;
    /** Milliseconds since 1970, by the server's clock. */
    readonly creationTime: number;
    /** The data of the client's token. */
    readonly data: string;
  }

  /** A stream in the session. There is one object for each, which changes with it. */
  interface Stream {
    readonly streamId: string;
    readonly id: string;
    readonly connection: Connection;
    readonly creationTime: number;
    readonly name: string;
    readonly initials: string;
    readonly videoType?: 'camera' | 'screen' | 'custom';
    readonly frameRate?: number;
    readonly hasCaptions: boolean;
    readonly hasAudio: boolean;
    readonly hasVideo: boolean;
    readonly videoDimensions: Dimensions;
  }

  /** What the client may do. */
  interface Capabilities {
    readonly publish: 0 | 1;
    readonly subscribe: 0 | 1;
    readonly forceDisconnect: 0 | 1;
    readonly forceUnpublish: 0 | 1;
    readonly forceMute: 0 | 1;
  }

  // --- sessions

  interface IceConfig {
    includeServers?: 'all' | 'custom';
    transportPolicy?: 'all' | 'relay';
    customServers?: RTCIceServer[];
  }

  interface SessionOptions {
    connectionEventsSuppressed?: boolean;
    iceConfig?: IceConfig;
    /** Is not supported: connecting is rejected. */
    encryptionSecret?: string;
    /** Where the gateway is; otherwise where the script came from. An addition of Mediarooms. */
    apiUrl?: string;
  }

  interface SignalOptions {
    /** At most 128 letters, digits, -, _ and ~. */
    type?: string;
    /** At most 8192 bytes. */
    data?: string;
    /** Otherwise everybody gets it, the sender too. */
    to?: Connection | { connectionId: string };
    retryAfterReconnect?: boolean;
  }

  interface ConnectionEvent<Type extends string = string> extends Event<Type, Session> {
    readonly connection: Connection;
    readonly connections: Connection[];
    /** clientDisconnected, forceDisconnected or networkDisconnected; undefined when it was created. */
    readonly reason?: string;
  }

  interface StreamEvent<Type extends string = string, Of = Session> extends Event<Type, Of> {
    readonly stream: Stream;
    readonly streams: Stream[];
    /** clientDisconnected, forceDisconnected, forceUnpublished, mediaStopped or networkDisconnected; undefined when it was created. */
    readonly reason?: string;
  }

  /** The lists are empty: each connection and stream has an event of its own. */
  interface SessionConnectEvent extends Event<'sessionConnected', Session> {
    readonly connections: Connection[];
    readonly streams: Stream[];
  }

  interface SessionDisconnectEvent extends Event<'sessionDisconnected', Session> {
    readonly reason: string;
  }

  interface StreamPropertyChangedEvent extends Event<'streamPropertyChanged', Session> {
    readonly stream: Stream;
    readonly changedProperty: 'hasAudio' | 'hasVideo' | 'videoDimensions';
    readonly oldValue: any;
    readonly newValue: any;
  }

  /** The type has the prefix signal: where the sender gave one. */
  interface SignalEvent extends Event<string, Session> {
    readonly data?: string;
    /** null when the server sent it. */
    readonly from: Connection | null;
  }

  interface SessionEvents {
    sessionConnected: SessionConnectEvent;
    sessionDisconnected: SessionDisconnectEvent;
    sessionReconnecting: Event<'sessionReconnecting', Session>;
    sessionReconnected: Event<'sessionReconnected', Session>;
    connectionCreated: ConnectionEvent<'connectionCreated'>;
    connectionDestroyed: ConnectionEvent<'connectionDestroyed'>;
    streamCreated: StreamEvent<'streamCreated'>;
    streamDestroyed: StreamEvent<'streamDestroyed'>;
    streamPropertyChanged: StreamPropertyChangedEvent;
    signal: SignalEvent;
    [typed: `signal:${string}`]: SignalEvent;
    muteForced: Event<'muteForced', Session> & { readonly active: boolean };
    /** Also after joining a session that is being archived. */
    archiveStarted: ArchiveEvent<'archiveStarted'>;
    archiveStopped: ArchiveEvent<'archiveStopped'>;
    /** Where the browser has the Compute Pressure API. */
    cpuPerformanceChanged: Event<'cpuPerformanceChanged', Session> & { readonly cpuPerformanceState: 'nominal' | 'fair' | 'serious' | 'critical' };
  }

  interface ArchiveEvent<Type extends string> extends Event<Type, Session> {
    readonly id: string;
    readonly name: string;
  }

  interface Session extends Emitter<SessionEvents> {
    readonly sessionId: string;
    readonly id: string;
    readonly apiKey: string;
    readonly currentState: 'disconnected' | 'connecting' | 'connected' | 'reconnecting';
    /** The own connection, once connected. */
    readonly connection?: Connection;
    /** Once connected. */
    readonly capabilities?: Capabilities;
    /** All connections, with the own one. */
    readonly connections: Collection<Connection>;
    /** The streams of others. */
    readonly streams: Collection<Stream>;
    isConnected(): boolean;
    readonly connect: {
      (token: string, callback?: Callback): Session;
      promise(token: string): Promise<Session>;
    };
    disconnect(): void;
    readonly publish: {
      (publisher: Publisher, callback?: Callback): Publisher;
      (target?: Target, properties?: PublisherProperties, callback?: Callback): Publisher;
      promise(publisher: Publisher): Promise<Publisher>;
      promise(target?: Target, properties?: PublisherProperties): Promise<Publisher>;
    };
    unpublish(publisher: Publisher): void;
    readonly subscribe: {
      (stream: Stream, callback?: Callback): Subscriber;
      (stream: Stream, target: Target, callback: Callback): Subscriber;
      (stream: Stream, target?: Target, properties?: SubscriberProperties, callback?: Callback): Subscriber;
      promise(stream: Stream, target?: Target, properties?: SubscriberProperties): Promise<Subscriber>;
    };
    unsubscribe(subscriber: Subscriber): Session;
    readonly signal: {
      (signal: SignalOptions, callback?: (error?: (OTError & { readonly signal?: SignalOptions }) | null) => void): void;
      promise(signal: SignalOptions): Promise<void>;
    };
    /** Is for moderators, as are the next ones. A connection or its id is given. */
    readonly forceDisconnect: {
      (connection: Connection | string, callback?: Callback): void;
      promise(connection: Connection | string): Promise<void>;
    };
    readonly forceUnpublish: {
      (stream: Stream | string, callback?: Callback): void;
      promise(stream: Stream | string): Promise<void>;
    };
    forceMuteStream(stream: Stream): Promise<void>;
    /** Mutes all streams but some, and those that are published later, too, until disableForceMute. */
    forceMuteAll(excluded?: Stream[]): Promise<void>;
    disableForceMute(): Promise<void>;
    getPublisherForStream(stream: Stream): Publisher | undefined;
    getSubscribersForStream(stream: Stream): Subscriber[];
    setIceConfig(config: IceConfig): Promise<void>;
    /** Is rejected: OT_NOT_SUPPORTED. */
    setEncryptionSecret(secret: string): Promise<void>;
  }

  // --- publishers and subscribers

  /** Options of what is shown. */
  interface WidgetProperties {
    insertMode?: 'replace' | 'after' | 'before' | 'append';
    insertDefaultUI?: boolean;
    showControls?: boolean;
    width?: number | string;
    height?: number | string;
    fitMode?: 'cover' | 'contain';
    style?: Record<string, any>;
  }

  /** A device's id, a track, or whether there shall be one. Of a video it may be screen or window, too. */
  type Source = string | MediaStreamTrack | boolean | null;

  interface GetUserMediaProperties {
    audioSource?: Source;
    videoSource?: Source;
    /** WIDTHxHEIGHT. */
    resolution?: string;
    frameRate?: number;
    facingMode?: string;
    echoCancellation?: boolean;
    noiseSuppression?: boolean;
    autoGainControl?: boolean;
    enableStereo?: boolean;
    /** Is not followed. */
    maxResolution?: Dimensions;
    /** Is not followed. */
    constraints?: MediaTrackConstraints;
  }

  interface PublisherProperties extends GetUserMediaProperties, WidgetProperties {
    name?: string;
    initials?: string;
    mirror?: boolean;
    publishAudio?: boolean;
    publishVideo?: boolean;
    /** A microphone that is unplugged is not replaced by another one. */
    disableAudioInputDeviceManagement?: boolean;
    videoContentHint?: '' | 'motion' | 'detail' | 'text';
    /** Is not followed, as are the next ones. */
    audioBitrate?: number;
    enableDtx?: boolean;
    scalableVideo?: boolean;
    scalableScreenshare?: boolean;
    audioFallback?: { publisher?: boolean; subscriber?: boolean };
    audioFallbackEnabled?: boolean;
    preferredVideoCodecs?: 'automatic' | string[];
    publishSenderStats?: boolean;
    /** Is rejected, as are the next ones. */
    publishCaptions?: boolean;
    videoFilter?: object;
    audioFilter?: object;
  }

  /** The most that is of use of a picture; auto is no bound. */
  type Resolution = 'auto' | Dimensions;

  interface SubscriberProperties extends WidgetProperties {
    subscribeToAudio?: boolean;
    subscribeToVideo?: boolean;
    /** From 0 to 100. */
    audioVolume?: number;
    /** Allows a stream of the own. */
    testNetwork?: boolean;
    /** As setPreferredResolution and setPreferredFrameRate. */
    preferredResolution?: Resolution;
    preferredFrameRate?: number | 'auto';
    /** Is not followed, as is the next one. */
    subscribeToCaptions?: boolean;
    captionsTranslationLanguage?: string;
  }

  interface VideoDimensionsChangedEvent<Of> extends Event<'videoDimensionsChanged', Of> {
    readonly oldValue: Dimensions;
    readonly newValue: Dimensions;
  }

  /** Events that publishers and subscribers have. */
  interface PartyEvents<Of> {
    audioLevelUpdated: Event<'audioLevelUpdated', Of> & { readonly audioLevel: number };
    mediaStreamAvailable: Event<'mediaStreamAvailable', Of> & { readonly mediaStream: MediaStream };
    videoDimensionsChanged: VideoDimensionsChangedEvent<Of>;
    videoElementCreated: Event<'videoElementCreated', Of> & { readonly element: HTMLVideoElement };
  }

  interface PublisherEvents extends PartyEvents<Publisher> {
    accessAllowed: Event<'accessAllowed', Publisher>;
    accessDenied: Event<'accessDenied', Publisher>;
    accessDialogOpened: Event<'accessDialogOpened', Publisher>;
    accessDialogClosed: Event<'accessDialogClosed', Publisher>;
    destroyed: Event<'destroyed', Publisher>;
    mediaStopped: Event<'mediaStopped', Publisher> & { readonly track?: MediaStreamTrack };
    muteForced: Event<'muteForced', Publisher>;
    streamCreated: StreamEvent<'streamCreated', Publisher>;
    streamDestroyed: StreamEvent<'streamDestroyed', Publisher>;
    /** The sound comes from another microphone, as asked for or since the one before has gone. */
    audioInputDeviceChanged: Event<'audioInputDeviceChanged', Publisher> & { readonly device: Device };
    /** What limits the quality of the video that is sent is another than before. */
    videoQualityChanged: Event<'videoQualityChanged', Publisher> & {
      readonly reason: 'none' | 'bandwidth' | 'cpu' | 'other';
      readonly statsContainer: PublisherRtcStatsReportContainer;
    };
  }

  interface SubscriberEvents extends PartyEvents<Subscriber> {
    audioBlocked: Event<'audioBlocked', Subscriber>;
    audioUnblocked: Event<'audioUnblocked', Subscriber>;
    connected: Event<'connected', Subscriber>;
    disconnected: Event<'disconnected', Subscriber>;
    destroyed: Event<'destroyed', Subscriber> & { readonly reason: string };
    /** Scores from 1 to 5; undefined without sound, or video. */
    qualityScoreChanged: Event<'qualityScoreChanged', Subscriber> & {
      readonly qualityScore: { readonly audioQualityScore?: number; readonly videoQualityScore?: number };
    };
    /** The video comes so badly that the server may pause it. */
    videoDisableWarning: Event<'videoDisableWarning', Subscriber>;
    videoDisableWarningLifted: Event<'videoDisableWarningLifted', Subscriber>;
    videoDisabled: Event<'videoDisabled', Subscriber> & { readonly reason: 'publishVideo' | 'subscribeToVideo' | 'quality' };
    videoEnabled: Event<'videoEnabled', Subscriber> & { readonly reason: 'publishVideo' | 'subscribeToVideo' | 'quality' };
  }

  /** What publishers and subscribers have in common. */
  interface Party<Events> extends Emitter<Events> {
    readonly id: string;
    /** The container; undefined without the default UI. */
    readonly element?: HTMLElement;
    readonly stream?: Stream;
    videoWidth(): number | undefined;
    videoHeight(): number | undefined;
    /** The picture that is shown, as PNG in Base64; null while there is none. */
    getImgData(): string | null;
    getStyle(): Record<string, any>;
    setStyle(style: Record<string, any>): this;
    setStyle(name: string, value: string): this;
    isAudioBlocked(): boolean;
  }

  /** What was sent of sound or video. */
  interface SentStats {
    bytesSent: number;
    packetsSent: number;
    packetsLost: number;
  }

  interface PublisherStats {
    timestamp: number;
    audio?: SentStats;
    video?: SentStats & { frameRate: number };
  }

  /** The server forwards streams: there is one of these, without ids. */
  interface PublisherStatsContainer {
    subscriberId?: string;
    connectionId?: string;
    stats: PublisherStats;
  }

  interface PublisherRtcStatsReportContainer {
    rtcStatsReport: RTCStatsReport;
  }

  interface VideoSource {
    deviceId: string | null;
    type: string | null;
    track: MediaStreamTrack | null;
  }

  /** What makes another track of a captured one. It is called again with each other captured track. */
  interface MediaProcessorConnector {
    setTrack(track: MediaStreamTrack): Promise<MediaStreamTrack>;
    destroy(): unknown;
  }

  interface Publisher extends Party<PublisherEvents> {
    readonly accessAllowed?: boolean;
    /** The session that it is published over. */
    readonly session?: Session;
    publishAudio(on: boolean): void;
    readonly publishVideo: {
      (on: boolean, callback?: Callback): void;
      promise(on: boolean): Promise<void>;
    };
    readonly destroy: {
      (callback?: Callback): Publisher;
      promise(): Promise<Publisher>;
    };
    getAudioSource(): MediaStreamTrack | null;
    setAudioSource(source: string | MediaStreamTrack): Promise<void>;
    getVideoSource(): VideoSource;
    setVideoSource(source: string | MediaStreamTrack): Promise<void>;
    cycleVideo(): Promise<{ deviceId: string }>;
    getStats(callback: Callback<PublisherStatsContainer[]>): void;
    getRtcStatsReport(): Promise<PublisherRtcStatsReportContainer[]>;
    /** Sends the video in at most a size. */
    setPreferredResolution(resolution: Resolution): Promise<void>;
    /** Sends at most so many pictures a second. */
    setPreferredFrameRate(frameRate: number | 'auto'): Promise<void>;
    /** Sends what the connector makes of the captured track; null ends that. */
    setVideoMediaProcessorConnector(connector: MediaProcessorConnector | null): Promise<void>;
    setAudioMediaProcessorConnector(connector: MediaProcessorConnector | null): Promise<void>;
    /** Is rejected, as are the next ones: OT_NOT_SUPPORTED. */
    applyVideoFilter(filter: object): Promise<void>;
    clearVideoFilter(): Promise<void>;
    applyAudioFilter(filter: object): Promise<void>;
    clearAudioFilter(): Promise<void>;
    publishCaptions(on: boolean): Promise<void>;
  }

  /** What was received of sound or video. */
  interface ReceivedStats {
    bytesReceived: number;
    packetsReceived: number;
    packetsLost: number;
  }

  interface SubscriberStats {
    timestamp: number;
    audio?: ReceivedStats;
    video?: ReceivedStats & { frameRate: number; decodedFrameRate?: number };
  }

  interface Subscriber extends Party<SubscriberEvents> {
    readonly streamId: string;
    readonly session: Session;
    readonly subscribeToAudio: {
      (on: boolean, callback?: Callback): Subscriber;
      promise(on: boolean): Promise<Subscriber>;
    };
    readonly subscribeToVideo: {
      (on: boolean, callback?: Callback): Subscriber;
      promise(on: boolean): Promise<Subscriber>;
    };
    getAudioVolume(): number;
    /** From 0 to 100. */
    setAudioVolume(volume: number): this;
    getStats(callback: Callback<SubscriberStats>): void;
    getRtcStatsReport(): Promise<RTCStatsReport>;
    /** The size that is of use: of a stream with layers the best that is not larger comes. */
    setPreferredResolution(resolution: Resolution): Promise<void>;
    /** The frame rate that is of use: of a stream with layers no more pictures come, but for the least that there are. */
    setPreferredFrameRate(frameRate: number | 'auto'): Promise<void>;
    /** Has as few pictures come as there can. */
    restrictFrameRate(on: boolean): Promise<void>;
    isSubscribedToCaptions(): boolean;
    /** Is rejected: OT_NOT_SUPPORTED. */
    subscribeToCaptions(on: boolean): Promise<void>;
  }

  // --- the namespace

  interface Device {
    deviceId: string;
    kind: 'audioInput' | 'videoInput';
    label: string;
  }

  interface AudioOutputDevice {
    deviceId: string | null;
    label: string | null;
  }

  interface ScreenSharingCapability {
    supported: boolean;
    supportedSources: { screen: boolean; application: boolean; window: boolean };
    /** No browser needs an extension any more: this and the next ones are undefined. */
    extensionRequired?: string;
    extensionRegistered?: boolean;
    extensionInstalled?: boolean;
  }

  interface ExceptionEvent extends Event<'exception'> {
    readonly code: number;
    readonly title: string;
    readonly message: string;
  }

  /** Events of OT itself. */
  interface NamespaceEvents {
    exception: ExceptionEvent;
  }

  /** There is one object for each key and id. */
  function initSession(apiKey: string | number, sessionId: string, options?: SessionOptions): Session;

  /** Begins to capture. */
  const initPublisher: {
    (callback: Callback<Publisher>): Publisher;
    (properties: PublisherProperties, callback?: Callback<Publisher>): Publisher;
    (target: Target, callback: Callback<Publisher>): Publisher;
    (target?: Target, properties?: PublisherProperties, callback?: Callback<Publisher>): Publisher;
    promise(properties: PublisherProperties): Promise<Publisher>;
    promise(target?: Target, properties?: PublisherProperties): Promise<Publisher>;
  };

  /** 1 where the browser can do WebRTC, else 0. */
  function checkSystemRequirements(): number;
  function upgradeSystemRequirements(): void;
  function getDevices(callback?: Callback<Device[]>): Promise<Device[]>;
  function getUserMedia(properties?: GetUserMediaProperties): Promise<MediaStream>;
  function getAudioOutputDevices(): Promise<AudioOutputDevice[]>;
  function getActiveAudioOutputDevice(): Promise<AudioOutputDevice>;
  function setAudioOutputDevice(deviceId: string): Promise<void>;
  function checkScreenSharingCapability(callback?: (capability: ScreenSharingCapability) => void): Promise<ScreenSharingCapability>;
  /** Does nothing. */
  function registerScreenSharingExtension(kind: string, id: string, version?: number): void;
  const hasMediaProcessorSupport: {
    (kind?: 'audio' | 'video'): boolean;
    promise(kind?: 'audio' | 'video'): Promise<boolean>;
  };
  function hasEndToEndEncryptionSupport(): boolean;
  function getSupportedCodecs(): Promise<{ videoEncoders: string[]; videoDecoders: string[] }>;
  /** Says where the gateway is, for sessions that connect from now on. */
  function setProxyUrl(url: string): void;
  /** Plays what the browser has blocked. It has to be called in a gesture of the user. */
  function unblockAudio(): Promise<void>;
  function log(message: unknown): void;
  /** Does nothing. */
  function setLogLevel(level: number): void;
  /** Tells a random id, and reports nothing. */
  function reportIssue(callback?: Callback<string>): Promise<string>;
  const on: Emitter<NamespaceEvents>['on'];
  const once: Emitter<NamespaceEvents>['once'];
  const off: Emitter<NamespaceEvents>['off'];
  const publishers: Collection<Publisher>;
  const subscribers: Collection<Subscriber>;
  const version: string;
  const properties: { readonly version: string; readonly apiURL: string };
}

/** Another name of OT, which old applications know. */
declare const TB: typeof OT;

declare module '*/opentok.mjs' {
  export = OT;
}

declare module '@opentok/client' {
  export = OT;
}
