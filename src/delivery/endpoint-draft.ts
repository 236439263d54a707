import { badField } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { newId } from '../model/id.ts';
import { profiles } from '../model/profile.ts';
import type { CreateEndpointOptions } from '../store/store.ts';
import { checkForFormat, wireFormatOf } from './endpoint-fields.ts';
import type { EndpointInput } from './engine.ts';
import { hash } from './publish.ts';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,256}$/;

/** Wire formats of those who choose none. */
export interface DefaultFormats {
  /** Of this endpoint: the face's or key's it is made through, else its tenant's, else the instance's. */
  own: string | object;
  instance: string | object;
}

/**
 * A new endpoint from fields that were checked. Its wire format, and the schedule and the timeout that a product's
 * format brings, are written on it: later defaults do not change what its receiver was built for.
 * @param formats what it gets where it names none, and the instance's, whose schedule and timeout the settings give
 * @param at epoch ms
 */
export function draftEndpoint(tenantId: string, fields: EndpointInput, formats: DefaultFormats, at: number): Endpoint {
  const chosen = fields.wireFormat ?? formats.own;
  const format = wireFormatOf(chosen);
  checkForFormat(format, fields.headers ?? null, fields.secret ?? null);
  const profile = typeof chosen === 'string' && chosen !== formats.instance ? profiles[chosen] : undefined;
  const isActive = fields.isActive ?? true;
  return {
    id: newId(at),
    tenantId,
    ownId: null,
    url: fields.url,
    events: fields.events,
    description: fields.description ?? null,
    isActive,
    disabledReason: isActive ? null : 'by_user',
    wireFormat: chosen,
    headers: fields.headers ?? null,
    retryScheduleMs: fields.retryScheduleMs ?? profile?.retryScheduleMs ?? null,
    timeoutMs: fields.timeoutMs ?? profile?.timeoutMs ?? null,
    concurrency: fields.concurrency ?? null,
    metadata: fields.metadata ?? null,
    secrets: [{ id: newId(at), value: fields.secret ?? format.newSecret(), createdAt: at, expiresAt: null }],
    createdAt: at,
    updatedAt: at,
  };
}

/**
 * What a creation is recognised by when it is repeated. The secret itself stays out of the fingerprint, which would let
 * whoever reads the store try out weak ones; {@link isOtherSecret} looks at it.
 */
export function dedupeOfCreation(
  input: EndpointInput,
  key: string | null | undefined,
): CreateEndpointOptions['dedupe'] {
  if (key == null) return null;
  if (!IDEMPOTENCY_KEY.test(key)) throw badField('Idempotency-Key', 'must be 1 to 256 visible ASCII characters');
  const { url, events, description, isActive, wireFormat, headers, metadata } = input;
  const { retryScheduleMs, timeoutMs, concurrency, secret } = input;
  const policy = [headers, retryScheduleMs, timeoutMs, concurrency, metadata];
  const said = [url, events, description, isActive, wireFormat, secret == null, ...policy];
  return { key: hash(`endpoint:${key}`), fingerprint: hash(JSON.stringify(said)) };
}

/** The secret that an endpoint was made with, as long as it signs. */
export function originalSecret({ secrets, createdAt }: Endpoint): string | null {
  return secrets.findLast((secret) => secret.createdAt === createdAt)?.value ?? null;
}

/** True where a repeated creation gives another secret than the first one did. */
export function isOtherSecret(endpoint: Endpoint, given: string | null | undefined): boolean {
  const original = originalSecret(endpoint);
  return given != null && original !== null && given !== original;
}
