import { badField, refuseZero } from '../errors.ts';
import type { Secret } from '../model/endpoint.ts';
import { isEventPattern } from '../model/event.ts';
import { checkUrl, type GuardPolicy } from '../transport/transport.ts';
import {
  checkHeaders,
  compileWireFormat,
  WireFormatError,
  type WireFormat,
  type WireFormatSpec,
} from '../wire/wire.ts';
import type { EndpointInput } from './engine.ts';
import type { EventTypes } from './event-types.ts';

const MAX_EVENTS = 256;
const MAX_DESCRIPTION = 1024;
const MAX_RETRIES = 50;
const MAX_WAIT_MS = 30 * 86_400_000;
const MIN_TIMEOUT_MS = 500;
const MAX_TIMEOUT_MS = 60_000;
const MAX_CONCURRENCY = 1000;
const MAX_METADATA = 32;

const compiled = new Map<string, WireFormat>();
const MAX_COMPILED = 1000;

/** The format of a spec; equal specs give the same object, so that one event's bytes are made once for all of them. */
export function wireFormatOf(spec: string | object): WireFormat {
  if (typeof spec === 'string') return compileWireFormat(spec);
  const text = JSON.stringify(spec);
  let format = compiled.get(text);
  if (!format) {
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    compiled.set(text, (format = compileWireFormat(spec as WireFormatSpec)));
  }
  return format;
}

/** Throws BAD_REQUEST with the place inside the format that does not fit. Null fits: nothing is chosen. */
export function checkWireFormat(spec: string | object | null): void {
  if (spec === null) return;
  try {
    wireFormatOf(spec);
  } catch (cause) {
    if (!(cause instanceof WireFormatError)) throw cause;
    throw badField(
      cause.path ? `wireFormat.${cause.path}` : 'wireFormat',
      cause.message.replace(`${cause.path}: `, ''),
    );
  }
}

export interface FieldContext {
  policy: GuardPolicy;
  eventTypes: EventTypes;
}

/** Checks what was given and returns it normalised. Throws BAD_REQUEST that names the field and the remedy. */
export function checkEndpointFields<T extends Partial<EndpointInput>>(input: T, context: FieldContext): T {
  const fields = { ...input };
  if (input.url !== undefined) fields.url = checkedUrl(input.url, context.policy);
  if (input.events !== undefined && !Array.isArray(input.events)) throw badField('events', 'must be a list');
  if (input.events !== undefined) fields.events = checkedEvents(input.events, context.eventTypes);
  const { description } = input;
  if (description != null && !(typeof description === 'string' && description.length <= MAX_DESCRIPTION)) {
    throw badField('description', `must be text of at most ${MAX_DESCRIPTION} characters`);
  }
  refuseZero('description', description);
  if (input.wireFormat != null) checkWireFormat(input.wireFormat);
  if (input.retryScheduleMs != null) {
    const { retryScheduleMs } = input;
    if (retryScheduleMs.length > MAX_RETRIES) throw badField('retrySchedule', `must have at most ${MAX_RETRIES} waits`);
    if (retryScheduleMs.some((ms) => !Number.isInteger(ms) || ms < 0 || ms > MAX_WAIT_MS)) {
      throw badField('retrySchedule', 'must be waits from 0s to 30d');
    }
  }
  inRange('timeout', input.timeoutMs, MIN_TIMEOUT_MS, MAX_TIMEOUT_MS, 'must be from 500ms to 60s');
  inRange('concurrency', input.concurrency, 1, MAX_CONCURRENCY, `must be a whole number from 1 to ${MAX_CONCURRENCY}`);
  const metadata = Object.entries(input.metadata ?? {});
  const isUnfit = ([name, value]: [string, unknown]): boolean =>
    name.length > 64 || typeof value !== 'string' || value.length > 512;
  if (metadata.length > MAX_METADATA || metadata.some(isUnfit)) {
    throw badField('metadata', `must be at most ${MAX_METADATA} names of 64 characters with values of 512`);
  }
  return fields;
}

/** Headers and secret depend on the format, which may have been chosen in the same request. */
export function checkForFormat(
  format: WireFormat,
  headers: Readonly<Record<string, string>> | null,
  secret: string | null,
): void {
  if (headers !== null) {
    const problem = checkHeaders(headers, format);
    if (problem !== null) throw badField('headers', problem);
  }
  if (secret !== null) {
    if (typeof secret !== 'string') throw badField('secret', 'must be text');
    const problem = format.checkSecret(secret);
    if (problem !== null) throw badField('secret', problem.replace(/^secret:? /, ''));
  }
}

/** A format chosen later has to fit the secrets that are there. */
export function checkSecrets(format: WireFormat, secrets: readonly Secret[]): void {
  if (secrets.every(({ value }) => format.checkSecret(value) === null)) return;
  throw badField(
    'wireFormat',
    `the present secret does not fit the format "${format.name}"; give a new one as "secret" in the same request`,
  );
}

function checkedUrl(url: unknown, policy: GuardPolicy): string {
  const verdict = checkUrl(url, policy);
  if (!verdict.ok) throw badField('url', verdict.message.replace(/^url:? /, ''));
  return verdict.url;
}

function checkedEvents(events: readonly string[], eventTypes: EventTypes): readonly string[] {
  if (events.length === 0) throw badField('events', 'must name at least one event type; "*" subscribes to all');
  if (events.length > MAX_EVENTS)
    throw badField('events', `must name at most ${MAX_EVENTS} event types; use wildcards like "order.*"`);
  events.forEach((pattern, i) => {
    if (typeof pattern !== 'string' || !isEventPattern(pattern)) {
      throw badField(`events[${i}]`, 'must be an event type like "order.created", or a pattern like "order.*" or "*"');
    }
  });
  const unknown = eventTypes.unknownIn(events);
  if (unknown !== null) throw badField('events', unknown);
  return [...new Set(events)];
}

function inRange(field: string, value: number | null | undefined, min: number, max: number, message: string): void {
  if (value != null && !(Number.isInteger(value) && value >= min && value <= max)) throw badField(field, message);
}
