import { sql } from 'kysely';
import type { CompiledQuery, Selectable } from 'kysely';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Id } from '../../model/id.ts';
import type { KeyRing } from '../seal.ts';
import type { CreateEndpointOptions, CreateEndpointOutcome, RecordChange, Store } from '../store.ts';
import { absence } from './absence.ts';
import type { RecordDriver } from './driver.ts';
import type { Tables } from './tables.ts';

/** How long a repeated creation is recognised by its idempotency key. */
const KEY_MS = 24 * 3_600_000;

type EndpointRow = Selectable<Tables['endpoints']>;
type SecretRow = Selectable<Tables['secrets']>;

/** Secrets are sealed before they leave this module and unsealed as they come back; expired ones are dropped on read. */
export function createEndpoints(
  { db, read, change, changeUnless }: RecordDriver,
  ring: KeyRing,
  now: () => number,
): Store['endpoints'] {
  const liveSecrets = () =>
    db
      .selectFrom('secrets')
      .selectAll()
      .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', now())]))
      .orderBy('id', 'desc');

  const present = (tenantId: string, id: Id) =>
    db.selectFrom('endpoints').where('tenant_id', '=', tenantId).where('id', '=', id).where('deleted_at', 'is', null);

  const toEndpoint = (row: EndpointRow, secrets: readonly SecretRow[]): Endpoint => ({
    id: row.id,
    tenantId: row.tenant_id,
    ownId: row.own_id,
    url: row.url,
    events: JSON.parse(row.events) as string[],
    description: row.description,
    isActive: row.is_active === 1,
    disabledReason: row.disabled_reason,
    wireFormat: JSON.parse(row.wire_format) as string | object,
    headers: parse(row.headers),
    retryScheduleMs: parse(row.retry_schedule_ms),
    timeoutMs: row.timeout_ms,
    concurrency: row.concurrency,
    metadata: parse(row.metadata),
    secrets: secrets.map((secret) => ({
      id: secret.id,
      value: ring.unseal(secret.sealed, secret.tenant_id, secret.id),
      createdAt: secret.created_at,
      expiresAt: secret.expires_at,
    })),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });

  const columns = (endpoint: Endpoint) => ({
    own_id: endpoint.ownId,
    url: endpoint.url,
    events: JSON.stringify(endpoint.events),
    description: endpoint.description,
    is_active: endpoint.isActive ? 1 : 0,
    disabled_reason: endpoint.disabledReason,
    wire_format: JSON.stringify(endpoint.wireFormat),
    headers: text(endpoint.headers),
    retry_schedule_ms: text(endpoint.retryScheduleMs),
    timeout_ms: endpoint.timeoutMs,
    concurrency: endpoint.concurrency,
    metadata: text(endpoint.metadata),
    updated_at: endpoint.updatedAt,
  });

  /** One insert a secret; it finds no row to hang on where the endpoint was deleted meanwhile. */
  const insertSecrets = ({ tenantId, id, secrets }: Endpoint) =>
    secrets.map((secret) =>
      db
        .insertInto('secrets')
        .columns(['tenant_id', 'endpoint_id', 'id', 'sealed', 'created_at', 'expires_at'])
        .expression((from) =>
          from
            .selectFrom('endpoints')
            .select((build) => [
              'endpoints.tenant_id',
              'endpoints.id',
              build.cast<string>(build.val(secret.id), 'text').as('secret_id'),
              build.cast<string>(build.val(ring.seal(secret.value, tenantId, secret.id)), 'text').as('sealed'),
              build.cast<number>(build.val(secret.createdAt), 'bigint').as('secret_created_at'),
              build.cast<number | null>(build.val(secret.expiresAt), 'bigint').as('expires_at'),
            ])
            .where('endpoints.tenant_id', '=', tenantId)
            .where('endpoints.id', '=', id)
            .where('endpoints.deleted_at', 'is', null),
        ),
    );

  /**
   * What speaks against storing it, in the order of what is said first: a repeat gets its answer, and an id that is taken
   * is named so, also where there is no room.
   */
  function objectionsTo(
    { tenantId, id, ownId }: Endpoint,
    { limit, dedupe }: CreateEndpointOptions,
    at: number,
  ): ObjectionTo[] {
    const live = db.selectFrom('endpoints').where('tenant_id', '=', tenantId).where('deleted_at', 'is', null);
    const objections: ObjectionTo[] = [];
    if (dedupe) {
      const used = db.selectFrom('endpoint_keys').select(['endpoint_id', 'fingerprint']);
      objections.push({
        query: used
          .where('tenant_id', '=', tenantId)
          .where('key', '=', dedupe.key)
          .where('created_at', '>', at - KEY_MS),
        outcome: (row) => {
          const { endpoint_id, fingerprint } = row as { endpoint_id: string; fingerprint: string };
          return { kind: 'repeated', endpointId: endpoint_id, sameBody: fingerprint === dedupe.fingerprint };
        },
      });
    }
    const taken = () => ({ kind: 'taken' }) as const;
    objections.push({ query: db.selectFrom('endpoints').select('id').where('id', '=', id), outcome: taken });
    if (ownId !== null) objections.push({ query: live.select('id').where('own_id', '=', ownId), outcome: taken });
    if (typeof limit === 'number') {
      // The last one that there is room for, found in the index alone.
      const last = live.select(sql.lit(1).as('one')).limit(1);
      objections.push({
        query: limit > 0 ? last.offset(limit - 1) : db.selectNoFrom(sql.lit(1).as('one')),
        outcome: () => ({ kind: 'limited' }),
      });
    }
    return objections;
  }

  const keepKey = (
    { tenantId, id }: Endpoint,
    { key, fingerprint }: { key: string; fingerprint: string },
    at: number,
  ) => [
    db.deleteFrom('endpoint_keys').where('created_at', '<=', at - KEY_MS),
    db.insertInto('endpoint_keys').values({ tenant_id: tenantId, key, fingerprint, endpoint_id: id, created_at: at }),
  ];

  return {
    async all() {
      const [rows, secrets] = await Promise.all([
        read(db.selectFrom('endpoints').selectAll().where('deleted_at', 'is', null).orderBy('tenant_id').orderBy('id')),
        read(liveSecrets()),
      ]);
      const byEndpoint = new Map<string, SecretRow[]>();
      for (const secret of secrets) {
        const key = `${secret.tenant_id}\0${secret.endpoint_id}`;
        const present = byEndpoint.get(key);
        if (present) present.push(secret);
        else byEndpoint.set(key, [secret]);
      }
      return rows.map((row) => toEndpoint(row, byEndpoint.get(`${row.tenant_id}\0${row.id}`) ?? []));
    },

    async get(tenantId, id, options) {
      let query = db.selectFrom('endpoints').selectAll().where('tenant_id', '=', tenantId).where('id', '=', id);
      if (options?.deleted !== true) query = query.where('deleted_at', 'is', null);
      const [rows, secrets] = await Promise.all([
        read(query),
        read(liveSecrets().where('tenant_id', '=', tenantId).where('endpoint_id', '=', id)),
      ]);
      const row = rows[0];
      return row ? { ...toEndpoint(row, secrets), deletedAt: row.deleted_at } : null;
    },

    async create(endpoint, options = {}) {
      const { tenantId, id, createdAt } = endpoint;
      const at = now();
      const objections = objectionsTo(endpoint, options, at);
      const row = { tenant_id: tenantId, id, created_at: createdAt, deleted_at: null, ...columns(endpoint) };
      const queries = [db.insertInto('endpoints').values(row), ...insertSecrets(endpoint)];
      const objection = await changeUnless(
        objections.map(({ query }) => query),
        options.dedupe ? [...queries, ...keepKey(endpoint, options.dedupe, at)] : queries,
        // Its tenant has a limit and idempotency keys, and no other tenant has the same id.
        { tell: tell(tenantId, id), inTurn: [`endpoints:${tenantId}`, turn(id)] },
      );
      return objection ? objections[objection.index]!.outcome(objection.row) : { kind: 'created' };
    },

    async update(endpoint, ifUpdatedAt) {
      const { tenantId, id } = endpoint;
      const isStale = absence(db, present(tenantId, id).select('id').where('updated_at', '=', ifUpdatedAt));
      const objection = await changeUnless(
        [isStale],
        [
          db.updateTable('endpoints').set(columns(endpoint)).where('tenant_id', '=', tenantId).where('id', '=', id),
          db.deleteFrom('secrets').where('tenant_id', '=', tenantId).where('endpoint_id', '=', id),
          ...insertSecrets(endpoint),
        ],
        { tell: tell(tenantId, id), inTurn: [turn(id)] },
      );
      return objection === null;
    },

    async remove(tenantId, id, at) {
      await change(
        [
          db
            .updateTable('endpoints')
            .set({ deleted_at: at, is_active: 0, updated_at: at })
            .where('tenant_id', '=', tenantId)
            .where('id', '=', id)
            .where('deleted_at', 'is', null),
          db.deleteFrom('secrets').where('tenant_id', '=', tenantId).where('endpoint_id', '=', id),
        ],
        { tell: tell(tenantId, id), inTurn: [turn(id)] },
      );
    },
  };
}

/** Under which one endpoint is changed: one after the other. */
function turn(id: Id): string {
  return `endpoint:${id}`;
}

function tell(tenantId: string, id: Id): RecordChange[] {
  return [{ kind: 'endpoint', tenantId, key: id }];
}

/** A query that finds a row where an endpoint cannot be stored, and what that means. */
interface ObjectionTo {
  query: { compile(): CompiledQuery };
  outcome: (row: unknown) => CreateEndpointOutcome;
}

/** Seals what older master keys sealed with the newest one; resolves to how many secrets changed. */
export async function rewrapSecrets({ db, read, change }: RecordDriver, ring: KeyRing): Promise<number> {
  let count = 0;
  for (const { tenant_id, endpoint_id, id, sealed } of await read(db.selectFrom('secrets').selectAll())) {
    const anew = ring.rewrap(sealed, tenant_id, id);
    if (anew === null) continue;
    const [changed] = await change([
      db
        .updateTable('secrets')
        .set({ sealed: anew })
        .where('tenant_id', '=', tenant_id)
        .where('endpoint_id', '=', endpoint_id)
        .where('id', '=', id)
        .where('sealed', '=', sealed), // not where an update came between
    ]);
    count += changed!;
  }
  return count;
}

function parse<Value>(json: string | null): Value | null {
  return json === null ? null : (JSON.parse(json) as Value);
}

function text(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}
