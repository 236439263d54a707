import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

/** Sessions of members in browsers. */
export function createSessions({ db, read, change }: RecordDriver): Store['sessions'] {
  return {
    async all(now) {
      const rows = await read(
        db.selectFrom('member_sessions').selectAll().where('expires_at', '>', now).orderBy('expires_at'),
      );
      return rows.map((row) => ({
        hash: row.hash,
        tenantId: row.tenant_id,
        memberId: row.member_id,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
      }));
    },
    async create({ hash, tenantId, memberId, createdAt, expiresAt }) {
      await change([
        db.deleteFrom('member_sessions').where('expires_at', '<=', createdAt),
        db
          .insertInto('member_sessions')
          .values({ hash, tenant_id: tenantId, member_id: memberId, created_at: createdAt, expires_at: expiresAt }),
      ]);
    },
    async remove(hash) {
      await change([db.deleteFrom('member_sessions').where('hash', '=', hash)]);
    },
  };
}
