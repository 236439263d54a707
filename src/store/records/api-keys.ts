import type { Selectable } from 'kysely';
import type { Scope } from '../../model/scope.ts';
import type { ApiKey } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';
import type { Tables } from './tables.ts';

export function createApiKeys({ db, read, change }: RecordDriver): Store['apiKeys'] {
  const tell = (id: string): RecordChange[] => [{ kind: 'api_key', tenantId: '', key: id }];
  return {
    async all() {
      return (await read(db.selectFrom('api_keys').selectAll().orderBy('id'))).map(toKey);
    },
    async get(id) {
      const [row] = await read(db.selectFrom('api_keys').selectAll().where('id', '=', id));
      return row ? toKey(row) : null;
    },
    async create(key) {
      const row = {
        id: key.id,
        tenant_id: key.tenantId,
        role: key.role,
        member_id: key.memberId,
        scopes: key.scopes === null ? null : JSON.stringify(key.scopes),
        name: key.name,
        hint: key.hint,
        hash: key.hash,
        created_at: key.createdAt,
        last_used_at: key.lastUsedAt,
        expires_at: key.expiresAt,
        revoked_at: key.revokedAt,
      };
      await change([db.insertInto('api_keys').values(row)], { tell: tell(key.id) });
    },
    async revoke(id, now) {
      // The first revocation counts.
      const query = db.updateTable('api_keys').set({ revoked_at: now });
      await change([query.where('id', '=', id).where('revoked_at', 'is', null)], { tell: tell(id) });
    },
    async touch(uses) {
      if (uses.length === 0) return;
      // Of several nodes that note a use of one key, the latest counts.
      await change(
        uses.map(({ id, lastUsedAt }) =>
          db
            .updateTable('api_keys')
            .set({ last_used_at: lastUsedAt })
            .where('id', '=', id)
            .where((where) => where.or([where('last_used_at', 'is', null), where('last_used_at', '<', lastUsedAt)])),
        ),
      );
    },
  };
}

function toKey(row: Selectable<Tables['api_keys']>): ApiKey & { hash: string } {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    role: row.role,
    memberId: row.member_id,
    scopes: row.scopes === null ? null : (JSON.parse(row.scopes) as Scope[]),
    name: row.name,
    hint: row.hint,
    hash: row.hash,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
