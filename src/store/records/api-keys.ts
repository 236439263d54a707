import type { Scope } from '../../model/scope.ts';
import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

export function createApiKeys({ db, read, change }: RecordDriver): Store['apiKeys'] {
  return {
    async all() {
      const rows = await read(db.selectFrom('api_keys').selectAll().orderBy('id'));
      return rows.map((row) => ({
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
      }));
    },
    async create(key) {
      await change([
        db.insertInto('api_keys').values({
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
        }),
      ]);
    },
    async revoke(id, now) {
      // The first revocation counts.
      await change([
        db.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).where('revoked_at', 'is', null),
      ]);
    },
    async touch(uses) {
      if (uses.length === 0) return;
      await change(
        uses.map(({ id, lastUsedAt }) =>
          db.updateTable('api_keys').set({ last_used_at: lastUsedAt }).where('id', '=', id),
        ),
      );
    },
  };
}
