import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;

beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

it('pages of webhooks hold each once, also those that were made elsewhere, long ago, with ids of any order', async () => {
  const made = Array.from({ length: 25 }, (_, i) => ({
    url: 'http://127.0.0.1:9/hook',
    events: ['*'],
    id: crypto.randomUUID(),
    createdAt: new Date((i % 5) * 86_400_000).toISOString(),
  }));
  await api.call('POST', '/v1/webhooks/import', { body: { webhooks: made } });
  const seen: Record<string, unknown>[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const path: string = `/v1/webhooks?limit=4${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { body } = await api.call('GET', path);
    seen.push(...body.webhooks);
    cursor = body.nextCursor;
  }
  expect(seen).toHaveLength(25);
  expect(new Set(seen.map(({ id }) => id)).size).toBe(25);
  const times = seen.map(({ createdAt }) => String(createdAt));
  expect(times).toEqual([...times].sort().reverse());
});

it.each(['x', '12 x', ' 01JXYZ0000ABCDEFGHJKMNPQRS', '01JXYZ0000ABCDEFGHJKMNPQRS'])(
  'a made-up cursor is refused: %j',
  async (text) => {
    const cursor = Buffer.from(`1${text}`).toString('base64url');
    const { status, body } = await api.call('GET', `/v1/webhooks?cursor=${cursor}`);
    expect([status, body.code]).toEqual([400, 'BAD_REQUEST']);
  },
);
