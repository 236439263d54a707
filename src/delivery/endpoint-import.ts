import { badField } from '../errors.ts';
import type { Endpoint, Secret } from '../model/endpoint.ts';
import { newId, parseId, prefixes, type Id } from '../model/id.ts';
import { draftEndpoint, type DefaultFormats } from './endpoint-draft.ts';
import { wireFormatOf } from './endpoint-fields.ts';
import type { ImportInput } from './engine.ts';

const OWN_ID = /^[\x21-\x7e]{1,128}$/;
const UUID_LENGTH = 36;
/** Until when a previous secret signs that came without an end. */
const GRACE_MS = 86_400_000;
const MAX_GRACE_MS = 30 * GRACE_MS;

/**
 * An endpoint of another system as it will be here: its id, secrets, state and age stay.
 * @param fields checked as those of every endpoint
 * @param at epoch ms
 */
export function importedEndpoint(tenantId: string, fields: ImportInput, formats: DefaultFormats, at: number): Endpoint {
  const { createdAt } = fields;
  if (createdAt != null && !(Number.isSafeInteger(createdAt) && createdAt >= 0 && createdAt <= at)) {
    throw badField('createdAt', 'must be a time that has been');
  }
  // Before the present one, whose id must be higher: the order of secrets is that of their ids.
  const previous = previousSecret(fields, at);
  const endpoint = draftEndpoint(tenantId, fields, formats, at);
  if (previous) {
    const problem = wireFormatOf(endpoint.wireFormat).checkSecret(previous.value);
    if (problem !== null) throw badField('previousSecret', problem.replace(/^secret:? /, ''));
  }
  return {
    ...endpoint,
    ...idsOf(fields.id ?? null, endpoint.id),
    secrets: previous ? [...endpoint.secrets, previous] : endpoint.secrets,
    createdAt: createdAt ?? at,
  };
}

/** Names that stand where an id does in paths of the API, and what clients take out of a path by themselves. */
const RESERVED = new Set(['history', 'event', 'calls', 'import', '.', '..']);

/** An id that we would spell the same becomes the endpoint's, a UUID too, which goes on being shown; any other is kept beside a new one. */
function idsOf(given: string | null, fresh: Id): { id: Id; ownId: string | null } {
  if (given === null) return { id: fresh, ownId: null };
  const id = parseId(given, prefixes.endpoint);
  if (id !== null && given.length === UUID_LENGTH) return { id, ownId: given };
  if (id !== null && given === prefixes.endpoint + id) return { id, ownId: null };
  if (!OWN_ID.test(given)) throw badField('id', 'must be 1 to 128 visible ASCII characters, without spaces');
  if (RESERVED.has(given)) throw badField('id', `must not be ${JSON.stringify(given)}: a path of the API has it`);
  return { id: fresh, ownId: given };
}

function previousSecret(fields: ImportInput, at: number): Secret | null {
  const { secret, previousSecret: value, previousSecretExpiresAt: end } = fields;
  if (value == null) {
    if (end != null) throw badField('previousSecretExpiresAt', 'needs a "previousSecret" beside it');
    return null;
  }
  if (secret == null) throw badField('secret', 'must be given beside "previousSecret"');
  if (end != null && !(Number.isSafeInteger(end) && end <= at + MAX_GRACE_MS)) {
    throw badField('previousSecretExpiresAt', 'must be a time, at most 30 days from now');
  }
  const expiresAt = end ?? at + GRACE_MS;
  return expiresAt > at && value !== secret ? { id: newId(at), value, createdAt: at, expiresAt } : null;
}

/** Whether an endpoint that has the id already is the one to import: where to, what for, on or off, and signed alike. */
export function isSameEndpoint(present: Endpoint, wanted: Endpoint, given: ImportInput, at: number): boolean {
  const secretsOf = ({ secrets }: Endpoint): string[] =>
    secrets.flatMap(({ value, expiresAt }) => (expiresAt === null || expiresAt > at ? value : []));
  return (
    present.tenantId === wanted.tenantId &&
    present.url === wanted.url &&
    present.isActive === wanted.isActive &&
    isEqual(present.events, wanted.events) &&
    (given.secret == null || isEqual(secretsOf(present), secretsOf(wanted)))
  );
}

function isEqual(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, i) => text === others[i]);
}
