import type { Selectable } from 'kysely';
import type { Session } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';
import type { Tables } from './tables.ts';

/** Sessions of members in browsers. */
export function createSessions({ db, read, change }: RecordDriver): Store['sessions'] {
  const tell = (tenantId: string, hash: string): RecordChange[] => [{ kind: 'session', tenantId, key: hash }];
  return {
    async all(now) {
      const rows = await read(
        db.selectFrom('member_sessions').selectAll().where('expires_at', '>', now).orderBy('expires_at'),
      );
      return rows.map(toSession);
    },
    async get(hash) {
      const [row] = await read(db.selectFrom('member_sessions').selectAll().where('hash', '=', hash));
      return row ? toSession(row) : null;
    },
    async create({ hash, tenantId, memberId, createdAt, expiresAt }) {
      await change(
        [
          db.deleteFrom('member_sessions').where('expires_at', '<=', createdAt),
          db
            .insertInto('member_sessions')
            .values({ hash, tenant_id: tenantId, member_id: memberId, created_at: createdAt, expires_at: expiresAt }),
        ],
        { tell: tell(tenantId, hash) },
      );
    },
    async remove(hash) {
      await change([db.deleteFrom('member_sessions').where('hash', '=', hash)], { tell: tell('', hash) });
    },
  };
}

function toSession(row: Selectable<Tables['member_sessions']>): Session {
  return {
    hash: row.hash,
    tenantId: row.tenant_id,
    memberId: row.member_id,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
