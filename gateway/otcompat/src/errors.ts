// Errors as applications know them: a name that begins with OT_, and a number.

const codes: Record<string, number> = {
  OT_AUTHENTICATION_ERROR: 1004,
  OT_INVALID_SESSION_ID: 1005,
  OT_CONNECT_FAILED: 1006,
  OT_CONNECTION_LIMIT_EXCEEDED: 1007,
  OT_TIMEOUT: 1008,
  OT_NOT_CONNECTED: 1010,
  OT_INVALID_PARAMETER: 1011,
  OT_ICE_WORKFLOW_FAILED: 1013,
  OT_CREATE_PEER_CONNECTION_FAILED: 1013,
  OT_SET_REMOTE_DESCRIPTION_FAILED: 1013,
  OT_INVALID_HTTP_STATUS: 1014,
  OT_BADLY_FORMED_RESPONSE: 1014,
  OT_USER_MEDIA_ACCESS_DENIED: 1500,
  OT_HARDWARE_UNAVAILABLE: 1500,
  OT_NO_DEVICES_FOUND: 1500,
  OT_NO_VALID_CONSTRAINTS: 1500,
  OT_CONSTRAINTS_NOT_SATISFIED: 1500,
  OT_SCREEN_SHARING_NOT_SUPPORTED: 1500,
  OT_PERMISSION_DENIED: 1500,
  OT_STREAM_CREATE_FAILED: 1500,
  OT_STREAM_NOT_FOUND: 1535,
};

/** An error that an application gets. */
export class OTError extends Error {
  readonly code: number;

  constructor(name: string, message: string, code = codes[name] ?? 2000) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

/** Rejects what this library can't do. */
export function notSupported(what: string): OTError {
  return new OTError('OT_NOT_SUPPORTED', `${what} is not supported by Mediarooms`);
}

/** Tells the console which options are not followed. */
export function warnOf(whose: string, options: object, names: string[]): void {
  const given = names.filter((name) => (options as Record<string, unknown>)[name]);
  if (given.length > 0) {
    console.warn(`Mediarooms: these options of ${whose} are not followed: ${given.join(', ')}`);
  }
}

const captureNames: Record<string, string> = {
  NotAllowedError: 'OT_USER_MEDIA_ACCESS_DENIED',
  SecurityError: 'OT_USER_MEDIA_ACCESS_DENIED',
  NotReadableError: 'OT_HARDWARE_UNAVAILABLE',
  AbortError: 'OT_HARDWARE_UNAVAILABLE',
  NotFoundError: 'OT_NO_DEVICES_FOUND',
  OverconstrainedError: 'OT_CONSTRAINTS_NOT_SATISFIED',
  TypeError: 'OT_NO_VALID_CONSTRAINTS',
  NotSupportedError: 'OT_SCREEN_SHARING_NOT_SUPPORTED',
};

/** Returns any failure as an OTError: one of the browser's capture under its name, others under the given one. */
export function asError(failure: unknown, name: string): OTError {
  if (failure instanceof OTError) {
    return failure;
  }
  const cause = failure instanceof Error ? failure : new Error(String(failure));
  return new OTError(captureNames[cause.name] ?? name, cause.message);
}

export type Callback<T = void> = (error?: OTError | null, result?: T) => void;

/** Tells a callback of node's form how a promise ends. A callback that throws is reported. */
export function settle<T>(promise: Promise<T>, callback: Callback<T> | undefined): void {
  const call = (error?: OTError, result?: T) => {
    try {
      callback?.(error, result);
    } catch (thrown) {
      console.error('Mediarooms: a callback has thrown', thrown);
    }
  };
  promise.then((result) => call(undefined, result), (error) => call(asError(error, 'OT_UNEXPECTED_SERVER_RESPONSE')));
}
