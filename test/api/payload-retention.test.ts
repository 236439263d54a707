import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { OPERATOR_KEY, startApi, type Api, type Call } from './server.ts';

const DAY_MS = 86_400_000;
const asGravv: Call = { key: null, headers: { 'api-key': OPERATOR_KEY } };

let api: Api;
let receiver: Receiver;
let ahead = 0;

beforeAll(async () => {
  api = await startApi({ payloadRetentionDays: 2, clock: () => Date.now() + ahead });
  receiver = await startReceiver();
});
afterAll(async () => {
  await api.stop();
  await receiver.close();
});

describe('an event whose payload is past its retention', () => {
  let eventId: string;
  let deliveryId: string;
  let heldId: string;

  beforeAll(async () => {
    const endpoint = { url: receiver.url(), events: ['sent'] };
    await api.call('POST', '/v1/webhooks', { body: endpoint });
    await api.call('POST', '/v1/webhooks', { body: { ...endpoint, events: ['held'], isActive: false } });
    const publish = async (type: string): Promise<string> =>
      (await api.call('POST', '/v1/events', { body: { type, data: { secret: 1 } } })).body.id;
    eventId = await publish('sent');
    heldId = await publish('held');
    await receiver.waitForCount(1);
    await vi.waitFor(async () => {
      const [delivery] = (await api.call('GET', `/v1/events/${eventId}`)).body.deliveries;
      expect(delivery!.status).toBe('delivered');
      deliveryId = delivery!.id;
    }, 5_000);
    ahead = 3 * DAY_MS;
    expect(await api.engine.sweep()).toBe(0);
  });

  it('shows everything but its data', async () => {
    const { body } = await api.call('GET', `/v1/events/${eventId}`);
    expect(body).toMatchObject({ id: eventId, type: 'sent', data: null, deliveries: [{ status: 'delivered' }] });
    const { body: delivery } = await api.call('GET', `/v1/deliveries/${deliveryId}`);
    expect(delivery.attemptLog).toHaveLength(1);
    const { body: history } = await api.call('GET', '/v1/webhooks/history', asGravv);
    const shown = history['data'].items.find(({ status }: { status: string }) => status === 'sent');
    const { body: detail } = await api.call('GET', `/v1/webhooks/event/${shown.id}`, asGravv);
    expect(detail['data']).toMatchObject({ event_type: 'sent', payload: null });
  });

  it('keeps its data while a delivery of it is open', async () => {
    const { body } = await api.call('GET', `/v1/events/${heldId}`);
    expect(body).toMatchObject({ data: { secret: 1 }, deliveries: [{ status: 'held' }] });
  });

  it.each([
    ['redelivered', () => `/v1/deliveries/${deliveryId}/redeliver`, {}],
    ['sent at once', () => `/v1/webhooks/event/send/${deliveryId}`, asGravv],
    ['replayed', () => `/v1/events/${eventId}/replay`, {}],
  ])('cannot be %s, and says why', async (_, path, more) => {
    const { status, text } = await api.call('POST', path(), more);
    expect(status).toBe(409);
    expect(text).toContain('past its retention');
    expect(receiver.requests).toHaveLength(1);
  });
});
