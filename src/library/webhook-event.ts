import type { Dispatched } from './deliveries.ts';
import { err, type Failure, type Result } from './result.ts';

/** What a Posthorn must offer for decorated methods to reach it. */
export interface EventSink {
  declare(name: string, declaration: { description: string | null; schema: object | null }): void;
  dispatchReturned(name: string, value: unknown, options: WebhookEventOptions): Promise<Result<Dispatched>>;
}

export interface WebhookEventOptions {
  /** Of the event type, for the catalogue. */
  description?: string;
  /** JSON Schema of the returned value. */
  schema?: object;
  /** Whose subscriptions get it, from what the method returned; default: those without a tenant. */
  tenantId?: string | ((returned: never) => string | null);
  /** Called where the event could not be stored; default: the method's promise rejects with a {@link DispatchError}. */
  onFailure?: (failure: Failure) => void;
}

/** The method did its work, and its event could not be stored. `returned` is what it returned. */
export class DispatchError extends Error {
  override readonly name = 'DispatchError';
  readonly failure: Failure;
  readonly returned: unknown;

  constructor(event: string, failure: Failure, returned: unknown) {
    super(`The method succeeded, but its event ${event} was not stored: ${failure.message}`);
    this.failure = failure;
    this.returned = returned;
  }
}

/** A standard decorator (TC39 stage 3) for methods that return a promise. */
export type MethodDecorator = <This, Arguments extends unknown[], Returned>(
  method: (this: This, ...args: Arguments) => Promise<Returned>,
  context: ClassMethodDecoratorContext<This, (this: This, ...args: Arguments) => Promise<Returned>>,
) => (this: This, ...args: Arguments) => Promise<Returned>;

interface Declaration {
  name: string;
  options: WebhookEventOptions;
}

/** Declarations made before there was a Posthorn, and those who hear of new ones. */
const declarations: Declaration[] = [];
const sinks = new Set<EventSink>();

/** From now on decorated methods reach this one. Returns what ends that. */
export function connect(sink: EventSink): () => void {
  sinks.add(sink);
  for (const { name, options } of declarations) declare(sink, name, options);
  return () => {
    sinks.delete(sink);
  };
}

/**
 * Declares an event type in the catalogue, and dispatches what the method returned as that event after it succeeded:
 *
 *     class Orders {
 *       @webhookEvent('order.created', { description: 'An order was placed' })
 *       async create(input: OrderInput): Promise<Order> { … }
 *     }
 *
 * The method's promise resolves once the event is on disk. Where the method throws, nothing is dispatched. It reaches the
 * one Posthorn that is started in this process; with several, use `posthorn.webhookEvent`.
 */
export function webhookEvent(name: string, options: WebhookEventOptions = {}): MethodDecorator {
  declarations.push({ name, options });
  for (const sink of sinks) declare(sink, name, options);
  return decorate(name, options, () => {
    const [sink, another] = sinks;
    if (!sink) throw new Error(`@webhookEvent('${name}'): no Posthorn is started; call start() first`);
    if (another) throw new Error(`@webhookEvent('${name}'): several are started; use the decorator of one of them`);
    return sink;
  });
}

/** The same for one Posthorn. */
export function webhookEventOf(sink: EventSink): (name: string, options?: WebhookEventOptions) => MethodDecorator {
  return (name, options = {}) => {
    declare(sink, name, options);
    return decorate(name, options, () => sink);
  };
}

function declare(sink: EventSink, name: string, { description, schema }: WebhookEventOptions): void {
  sink.declare(name, { description: description ?? null, schema: schema ?? null });
}

function decorate(name: string, options: WebhookEventOptions, sinkOf: () => EventSink): MethodDecorator {
  return (method) => {
    if (/GeneratorFunction$/.test(method.constructor.name)) {
      throw new TypeError(
        `@webhookEvent('${name}'): a generator returns no event; decorate a method that returns a promise`,
      );
    }
    return async function (this, ...args) {
      const sink = sinkOf();
      const returned = await method.apply(this, args);
      // Whatever goes wrong from here on, the method did its work, and its caller must learn both.
      const dispatched = await sink
        .dispatchReturned(name, returned, options)
        .catch((error: unknown) => err('webhook-error', String(error)));
      if (!dispatched.ok) {
        if (!options.onFailure) throw new DispatchError(name, dispatched.error, returned);
        options.onFailure(dispatched.error);
      }
      return returned;
    };
  };
}
