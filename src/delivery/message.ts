import { PosthornError } from '../errors.ts';
import { parseId, prefixes, toUuid, type Id } from '../model/id.ts';
import type { Event } from '../model/event.ts';
import type { Message, Stamp, WireFormat } from '../wire/wire.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The id of an event as people see it and as receivers get it: the publisher's own, or `evt_…`. */
export function publicEventId(event: { id: Id; ownId: string | null }): string {
  return event.ownId ?? prefixes.event + event.id;
}

/** The id of an endpoint as people see it: the one it had where it came from, or `wh_…`. */
export function publicEndpointId(endpoint: { id: Id; ownId: string | null }): string {
  return endpoint.ownId ?? prefixes.endpoint + endpoint.id;
}

/** The data of an event is past its retention: its history can be read, but not sent. */
export function payloadForgotten(): PosthornError {
  return new PosthornError(
    'INVALID_STATE',
    'The payload of the event is past its retention and forgotten; its history can be read, but not sent again.',
  );
}

/**
 * An event on its way to one or many endpoints, as the wire formats see it. Its bytes are made once for each format,
 * and spellings that only some formats need are made when they ask.
 */
export class EventMessage implements Message {
  readonly event: Event;
  readonly id: string;
  #format: WireFormat | null = null;
  #body: Buffer | null = null;
  #others: Map<WireFormat, Buffer> | null = null;

  constructor(event: Event) {
    this.event = event;
    this.id = publicEventId(event);
  }

  get uuid(): string {
    const { ownId, id } = this.event;
    if (ownId === null) return toUuid(id);
    if (UUID.test(ownId)) return ownId.toLowerCase();
    return toUuid(parseId(ownId, prefixes.event) ?? id);
  }

  get type(): string {
    return this.event.type;
  }

  get data(): string {
    return this.event.data;
  }

  get occurredAt(): number {
    return this.event.occurredAt;
  }

  get tenantId(): string {
    return this.event.tenantId;
  }

  get category(): string | null {
    return this.event.category;
  }

  get group(): string | null {
    return this.event.group;
  }

  get source(): string | null {
    return this.event.source;
  }

  /** The bytes of this event in a format: the same at every attempt and for every endpoint. */
  body(format: WireFormat): Buffer {
    if (this.#format === format) return this.#body!;
    if (this.#format === null) {
      this.#format = format;
      return (this.#body = format.body(this));
    }
    this.#others ??= new Map();
    let body = this.#others.get(format);
    if (!body) this.#others.set(format, (body = format.body(this)));
    return body;
  }
}

/** What is new at every attempt. */
export class AttemptStamp implements Stamp {
  readonly deliveryId: string;
  readonly attemptNumber: number;
  readonly now: number;
  readonly #id: Id;

  constructor(id: Id, attemptNumber: number, now: number) {
    this.#id = id;
    this.deliveryId = prefixes.delivery + id;
    this.attemptNumber = attemptNumber;
    this.now = now;
  }

  get deliveryUuid(): string {
    return toUuid(this.#id);
  }
}
