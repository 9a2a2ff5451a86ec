// The emitter of all objects that applications listen to: names in lists, maps of handlers, contexts, and default actions.

import { OTEvent } from './events.ts';

export type Handler = (event: any) => void;
export type Handlers = Record<string, Handler | undefined>;

interface Listener {
  name: string;
  handler: Handler;
  context: unknown;
  once: boolean;
}

/** An object whose events applications listen to. All methods return it, so that calls can be chained. */
export class Emitter {
  #listeners: Listener[] = [];

  /** Calls a handler for each event of a name, of several in a list with spaces, or those of a map. */
  on(names: string | Handlers, handler?: Handler | unknown, context?: unknown): this {
    return this.#add(names, handler, context, false);
  }

  /** Is on, for the first event of each name. */
  once(names: string | Handlers, handler?: Handler | unknown, context?: unknown): this {
    return this.#add(names, handler, context, true);
  }

  /** Ends what on and once began: of everything, of names, or of a handler and its context. */
  off(names?: string | Handlers, handler?: Handler | unknown, context?: unknown): this {
    if (names === undefined || names === null) {
      this.#listeners = [];
      return this;
    }
    for (const [name, named, its] of entries(names, handler, context)) {
      this.#listeners = this.#listeners.filter((l) =>
        l.name !== name || (named !== undefined && l.handler !== named) || (its !== undefined && l.context !== its));
    }
    return this;
  }

  addEventListener(name: string, handler: Handler, context?: unknown): this {
    return this.on(name, handler, context);
  }

  removeEventListener(name: string, handler: Handler, context?: unknown): this {
    return this.off(name, handler, context);
  }

  /** Whether somebody listens to events of a name. */
  hasListeners(name: string): boolean {
    return this.#listeners.some((l) => l.name === name);
  }

  /**
   * Calls the handlers of the event's type, and of other names when given, then the default action unless a handler has
   * prevented it. A handler that throws does not keep others from being called.
   */
  dispatch(event: OTEvent, defaultAction?: () => void, names: string[] = [event.type]): void {
    event.target ??= this;
    for (const name of names) {
      for (const listener of this.#listeners.filter((l) => l.name === name)) {
        if (listener.once) {
          this.#listeners = this.#listeners.filter((l) => l !== listener);
        }
        try {
          listener.handler.call(listener.context ?? this, event);
        } catch (error) {
          console.error(`Mediarooms: a handler of ${name} has thrown`, error);
        }
      }
    }
    if (defaultAction && !event.isDefaultPrevented()) {
      defaultAction();
    }
  }

  #add(names: string | Handlers, handler: Handler | unknown, context: unknown, once: boolean): this {
    for (const [name, named, its] of entries(names, handler, context)) {
      if (typeof named !== 'function') {
        throw new TypeError(`the handler of ${name} must be a function`);
      }
      this.#listeners = [...this.#listeners, { name, handler: named, context: its, once }];
      this.listenedTo(name);
    }
    return this;
  }

  /** Is called when somebody begins to listen to events of a name. */
  protected listenedTo(_name: string): void {}
}

/** Returns the names, handlers and contexts of a call of on, once or off. */
function* entries(names: string | Handlers, handler: unknown, context: unknown): Generator<[string, Handler | undefined, unknown]> {
  if (typeof names !== 'string') {
    for (const [list, named] of Object.entries(names)) {
      yield* entries(list, named, handler);
    }
    return;
  }
  for (const name of names.split(/\s+/)) {
    if (name) {
      yield [name, handler as Handler | undefined, context];
    }
  }
}
