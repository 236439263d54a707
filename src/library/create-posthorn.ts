import { pino } from 'pino';
import type { NewKey } from '../api/keys.ts';
import type { Engine } from '../delivery/engine.ts';
import { PosthornError } from '../errors.ts';
import { createPosthornServer } from '../posthorn.ts';
import { Attempts } from './attempts.ts';
import type { Catalogue, DataOf, EventName } from './catalogue.ts';
import { DeadLetters } from './dead-letters.ts';
import { Deliveries, type Dispatched, type WebhookEvent } from './deliveries.ts';
import { createHandler, handleFetch, type Handler, type HandlerOptions } from './handler.ts';
import { prepare, type PosthornOptions } from './options.ts';
import { attempt, type Result } from './result.ts';
import { Subscriptions } from './subscriptions.ts';
import { verify, type Algorithm, type VerifyInput } from './verify.ts';
import {
  connect,
  webhookEventOf,
  type EventSink,
  type MethodDecorator,
  type WebhookEventOptions,
} from './webhook-event.ts';

/** Posthorn inside this process. Verbs answer with Results; they may be called once `start()` has resolved. */
export interface Posthorn<Types extends Catalogue = Catalogue> {
  /** Opens the store, migrates it, takes up what is due. A second call gets the same promise. */
  start(): Promise<void>;
  /** Waits for attempts under way, gives back what it could not send, closes. Tolerates never-started and twice-stopped. */
  stop(): Promise<void>;
  readonly subscriptions: Subscriptions;
  readonly deliveries: Deliveries<Types>;
  readonly attempts: Attempts;
  readonly deadLetters: DeadLetters;
  /** Dispatches an event; its data is checked against the schema declared for the type, when compiled and when run. */
  publish<const Name extends EventName<Types>>(
    type: Name,
    data: DataOf<Types, Name>,
    options?: Omit<WebhookEvent<Types, Name>, 'type' | 'payload'>,
  ): Promise<Result<Dispatched>>;
  verify(input: VerifyInput): Result<{ algorithm: Algorithm }>;
  /** Like the exported `webhookEvent`, for this one. */
  webhookEvent(name: string, options?: WebhookEventOptions): MethodDecorator;
  /** The whole HTTP API as a request handler: for `http.createServer`, Express, Fastify, Next.js' pages. */
  handler(options?: HandlerOptions): Handler;
  /** The same for frameworks with the Request and Response of the Fetch standard. */
  fetch(request: Request, options?: HandlerOptions): Promise<Response>;
  /** An API key for the handler; its text is in the answer and nowhere else. `tenantId` null with the role `operator`. */
  createKey(key: NewKey): Promise<Result<{ id: string; key: string }>>;
}

/**
 * Webhooks in your process: durable events, signed deliveries, retries, history, in an embedded store.
 *
 *     const posthorn = createPosthorn();
 *     await posthorn.start();
 *     await posthorn.subscriptions.create({ url: 'https://example.com/hook', eventTypes: ['order.*'] });
 *     await posthorn.publish('order.created', { id: 'o-1' });
 *
 * Throws a ConfigError at once where an option cannot be used.
 */
export function createPosthorn<const Types extends Catalogue = Catalogue>(
  options: PosthornOptions<Types> = {},
): Posthorn<Types> {
  const { config, graceMs, cleanUp } = prepare(options);
  const log = options.logger ?? pino({ level: 'silent' });
  const server = createPosthornServer(config, {
    logger: log,
    isEmbedded: true,
    ...(typeof options.outbox === 'object' ? { outbox: options.outbox } : {}),
  });
  const { engine } = server;
  /** Declared by decorators before the store was open. */
  const declared = new Map<string, { description: string | null; schema: object | null }>();
  let phase: 'new' | 'started' | 'stopped' = 'new';
  let started: Promise<void> | null = null;
  let stopped: Promise<void> | null = null;
  let declaring: Promise<unknown> = Promise.resolve();
  let disconnect = (): void => {};

  const sink: EventSink = {
    declare(name, declaration) {
      declared.set(name, declaration);
      if (phase !== 'started') return;
      declaring = declaring
        .then(() => putType(name, declaration))
        .catch((error: unknown) => {
          log.error({ err: error, type: name }, 'event_type.not_declared');
        });
    },
    async dispatchReturned(name, value, { tenantId }) {
      await started;
      await declaring;
      const whose = typeof tenantId === 'function' ? tenantId(value as never) : tenantId;
      const event = { type: name, payload: value, tenantId: whose ?? null } as WebhookEvent<Types, EventName<Types>>;
      return deliveries.dispatch(event);
    },
  };

  /** Keeps what the catalogue has that the declaration does not say. */
  async function putType(name: string, { description, schema }: { description: string | null; schema: object | null }) {
    const before = engine.eventTypes.list().find((type) => type.name === name);
    await engine.eventTypes.put({
      name,
      description: description ?? before?.description ?? null,
      schema: schema ?? before?.schema ?? null,
      examples: before?.examples ?? [],
      isArchived: false,
    });
  }

  async function start(): Promise<void> {
    try {
      await server.start();
      for (const [name, schema] of Object.entries(options.events ?? {})) {
        const { description } = schema as { description?: string };
        await putType(name, { description: description ?? null, schema: JSON.parse(JSON.stringify(schema)) as object });
      }
      disconnect = connect(sink);
      for (const [name, declaration] of declared) await putType(name, declaration);
      phase = 'started';
    } catch (error) {
      await end();
      throw error;
    }
  }

  async function end(): Promise<void> {
    disconnect();
    await server.stop();
    phase = 'stopped';
    cleanUp();
  }

  async function stop(): Promise<void> {
    await started?.catch(() => undefined);
    await end();
  }

  /** The engine while it runs: before, a verb is a mistake of the program; afterwards, an Err. */
  const running = new Proxy<Engine>(engine, {
    get(target, name) {
      if (phase === 'new') throw new Error('Posthorn is not started; await start() first.');
      if (phase === 'stopped') throw new PosthornError('SHUTTING_DOWN', 'Posthorn was stopped.');
      return Reflect.get(target, name) as unknown;
    },
  });
  const deliveries = new Deliveries<Types>(running);

  return {
    start: () => (started ??= start()),
    stop: () => (stopped ??= stop()),
    subscriptions: new Subscriptions(running, graceMs),
    deliveries,
    attempts: new Attempts(running),
    deadLetters: new DeadLetters(running),
    publish: (type, data, more = {}) => deliveries.dispatch({ ...more, type, payload: data }),
    verify,
    webhookEvent: webhookEventOf(sink),
    handler: (mount) => createHandler(() => server.door(), mount),
    fetch: (request, mount) => handleFetch(() => server.door(), request, mount),
    createKey: (key) =>
      attempt(async () => {
        void running.tenants; // only while it runs
        const { id, key: text } = await server.createKey(key);
        return { id, key: text };
      }),
  };
}
