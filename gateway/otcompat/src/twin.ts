// Methods that take a callback last, with a twin that returns a promise: session.connect.promise(token).

import type { OTError } from './errors.ts';

export interface Twin<F extends (...args: any[]) => any> {
  (...args: Parameters<F>): ReturnType<F>;
  promise(...args: any[]): Promise<any>;
}

/** Returns the method with its twin. The callback must be the last argument that is looked for by its type. */
export function twin<F extends (...args: any[]) => any>(method: F): Twin<F> {
  return Object.assign(method as (...args: Parameters<F>) => ReturnType<F>, {
    promise: (...args: any[]) => new Promise((resolve, reject) => {
      const returned = method(...args, (error?: OTError | null, result?: unknown) => (error ? reject(error) : resolve(result ?? returned)));
    }),
  });
}

/** Splits the arguments of a call into those that are functions, of which the last is the callback, and the others. */
export function split(args: unknown[]): { callback?: (...args: any[]) => void; rest: any[] } {
  const callback = args.filter((arg) => typeof arg === 'function').at(-1) as ((...args: any[]) => void) | undefined;
  return { callback, rest: args.filter((arg) => typeof arg !== 'function') };
}
