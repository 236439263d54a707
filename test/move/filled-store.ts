import Database from 'better-sqlite3';
import { join } from 'node:path';
import { startProcess } from '../e2e/process.ts';
import type { Receiver } from '../e2e/receiver.ts';

/** What a store holds that a moved one must still be able to do. */
export interface Filled {
  /** An owner's key of the tenant `acme`. */
  ownerKey: string;
  /** A member's session there. */
  sessionToken: string;
  /** The tenant's endpoint at /ok, whose secret was rotated: both secrets, newest first. */
  okId: string;
  secrets: [string, string];
  /** Its endpoint at /held, which is disabled and has a delivery waiting. */
  heldId: string;
  /** An event with an idempotency key and an own id, and what a repeat of it must answer. */
  repeat: { headers: Record<string, string>; body: Record<string, unknown>; id: string };
  /** Deliveries in all tenants, by id, with their status before the move. */
  statuses: Map<string, string>;
}

/** Events that /ok got. */
export const OK_EVENTS = 300;

/**
 * Fills a data directory by a real run of a server, which is killed at its end while a delivery is on the wire.
 * /ok takes everything, /down answers 500, /stuck never answers, /dead ends as a dead letter, /held is disabled.
 */
export async function fillStore(dataDir: string, receiver: Receiver): Promise<Filled> {
  receiver.answer('/down', 500);
  receiver.answer('/dead', 500);
  receiver.answer('/stuck', () => undefined);
  const posthorn = await startProcess(dataDir);
  const { client } = posthorn;
  const must = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await client.call(method, path, body, headers);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  await must('PUT', '/v1/plans/pro', { endpointLimit: 20, eventsPerDay: 100_000, retentionDays: 7 });
  await must('POST', '/v1/tenants', { id: 'acme', name: 'Acme "Größe" 💌\t', plan: 'pro' });
  await must('PUT', '/v1/event-types/order.paid', {
    description: 'Paid',
    schema: { type: 'object' },
    examples: [{ n: 1 }],
  });
  const { key: ownerKey } = await must('POST', '/v1/api-keys', { role: 'owner' }, { 'posthorn-tenant': 'acme' });
  const acme = { authorization: `Bearer ${ownerKey}` };
  const { id: member } = await must('POST', '/v1/members', { role: 'admin', email: 'ada@example.com' }, acme);
  await must('POST', '/v1/api-keys', { memberId: member }, acme);
  const { token } = await must('POST', '/v1/sessions', { memberId: member }, acme);

  const webhook = (path: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
    must('POST', '/v1/webhooks', { url: receiver.url(path), events: ['order.*'], ...more }, { ...acme, ...headers });
  const ok = await webhook('/ok', { description: 'two\nlines' }, { 'idempotency-key': 'make-ok' });
  await webhook('/down', { retrySchedule: ['5s', '5s', '5s'], metadata: { a: 'b' } });
  await webhook('/dead', { events: ['order.lost'], retrySchedule: [] });
  const held = await webhook('/held', { events: ['order.held'] });
  await must('POST', `/v1/webhooks/${held.id}/disable`, {}, acme);
  const gone = await webhook('/gone', { events: ['order.gone'] });
  await must('POST', `/v1/webhooks/${gone.id}/disable`, {}, acme);
  const rotated = await must('POST', `/v1/webhooks/${ok.id}/rotate-secret`, {}, acme);

  for (let at = 0; at < OK_EVENTS; at += 100) {
    const events = Array.from({ length: 100 }, (_, i) => ({
      type: 'order.bulk',
      data: { n: at + i, text: `"quotes" \\ \u0000 {ünï} 💌 ${'x'.repeat(i)}` },
      ...(i % 3 === 0 ? { group: `g-${i}`, category: 'bulk', id: `own-${at + i}` } : {}),
    }));
    await must('POST', '/v1/events/batch', { events }, acme);
  }
  const repeat = {
    headers: { ...acme, 'idempotency-key': 'once' },
    body: { type: 'order.lost', data: [1], id: 'own-lost' },
  };
  const { id } = await must('POST', '/v1/events', repeat.body, repeat.headers);
  for (const type of ['order.held', 'order.gone', 'nobody.wants'])
    await must('POST', '/v1/events', { type, data: {} }, acme);
  await must('DELETE', `/v1/webhooks/${gone.id}`, undefined, acme);
  await receiver.waitForCount(OK_EVENTS + 3, '/ok');
  await allSettled(client, acme);
  // Made behind its event, which is sent to it once that event's fan-out goes on.
  await webhook('/late', { events: ['nobody.wants'] });
  // The last one: it is on the wire when the server dies.
  await webhook('/stuck', { events: ['late.stuck'] });
  await must('POST', '/v1/events', { type: 'late.stuck', data: { late: true } }, acme);
  await receiver.waitFor(({ path }) => path === '/stuck');
  await posthorn.end('SIGKILL');

  const db = new Database(join(dataDir, 'posthorn.db'));
  // As if a crash had cut its fan-out off at the beginning: no test could wait for that moment.
  db.prepare("UPDATE events SET fan_out_after = ? WHERE type = 'nobody.wants'").run('0'.repeat(26));
  // Stores of before such texts were refused may have one.
  db.prepare('UPDATE endpoints SET description = ? WHERE id = ?').run(
    'zero \0 inside',
    String(ok.id).slice('wh_'.length),
  );
  const rows = db.prepare('SELECT id, status FROM deliveries').all() as { id: string; status: string }[];
  db.close();
  return {
    ownerKey,
    sessionToken: token,
    okId: ok.id,
    secrets: [rotated.secret, ok.secret],
    heldId: held.id,
    repeat: { ...repeat, id },
    statuses: new Map(rows.map(({ id, status }) => [id, status])),
  };
}

/** Waits until nothing is on the wire. */
async function allSettled(
  client: {
    call: (
      method: string,
      path: string,
      body: undefined,
      headers: Record<string, string>,
    ) => Promise<{ body: unknown }>;
  },
  headers: Record<string, string>,
): Promise<void> {
  for (;;) {
    const { body } = await client.call('GET', '/v1/deliveries?status=sending&limit=1', undefined, headers);
    if ((body as { deliveries: unknown[] }).deliveries.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
