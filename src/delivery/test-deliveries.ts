import { PosthornError } from '../errors.ts';
import { newDeliveryId, newId, prefixes, toUuid } from '../model/id.ts';
import type { Sender } from '../transport/transport.ts';
import type { TestOptions, TestResult } from './engine.ts';
import { keysAt } from './live-endpoint.ts';
import { EventMessage } from './message.ts';
import type { LiveEndpoint } from './subscriptions.ts';

/** Of one tenant at once: they take no slots. */
const MAX_AT_ONCE = 8;

/** One signed request of an event that never happened: sent now, not retried, not kept. */
export class TestDeliveries {
  readonly #sender: Sender;
  readonly #now: () => number;
  /** On the wire, by tenant. */
  readonly #underWay = new Map<string, number>();

  constructor(options: { sender: Sender; now: () => number }) {
    this.#sender = options.sender;
    this.#now = options.now;
  }

  /** Throws TOO_MANY_REQUESTS where its tenant has too many of them on the wire. */
  async send(live: LiveEndpoint, options: TestOptions): Promise<TestResult> {
    const { tenantId, url } = live.endpoint;
    if ((this.#underWay.get(tenantId) ?? 0) >= MAX_AT_ONCE) {
      const message = `${MAX_AT_ONCE} test deliveries of this tenant are under way; wait until one has ended.`;
      throw new PosthornError('TOO_MANY_REQUESTS', message, { retryAfterSeconds: 1 });
    }
    const { body, headers } = this.#request(live, options);
    this.#count(tenantId, 1);
    return new Promise((resolve) => {
      this.#sender.send({ url, headers, body, timeoutMs: live.timeoutMs }, (exchange) => {
        this.#count(tenantId, -1);
        const { statusCode, reason, responseBody, totalMs } = exchange;
        const succeeded = reason === null && statusCode !== null && statusCode >= 200 && statusCode < 300;
        resolve({ succeeded, statusCode, failure: reason, responseBody, durationMs: totalMs });
      });
    });
  }

  #request(live: LiveEndpoint, options: TestOptions): { body: Buffer; headers: string[] } {
    const at = this.#now();
    const type = options.type ?? live.endpoint.events.find((pattern) => !pattern.includes('*')) ?? 'posthorn.test';
    const message = new EventMessage({
      id: newId(at),
      tenantId: live.endpoint.tenantId,
      ownId: null,
      type,
      data: options.data ?? JSON.stringify({ test: true, message: 'A test delivery: nothing happened.' }),
      occurredAt: at,
      category: null,
      group: null,
      source: 'posthorn',
      createdAt: at,
    });
    const id = newDeliveryId(at);
    const deliveryUuid = options.deliveryUuid ?? toUuid(id);
    const stamp = { deliveryId: prefixes.delivery + id, deliveryUuid, attemptNumber: 1, now: at };
    const body = message.body(live.format);
    return { body, headers: live.format.headers(message, body, keysAt(live, at), stamp, live.extraHeaders) };
  }

  #count(tenantId: string, by: 1 | -1): void {
    const count = (this.#underWay.get(tenantId) ?? 0) + by;
    if (count > 0) this.#underWay.set(tenantId, count);
    else this.#underWay.delete(tenantId);
  }
}
