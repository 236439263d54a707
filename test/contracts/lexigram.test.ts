import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { hexHmac, startPosthorn, type Posthorn } from './posthorn.ts';

let posthorn: Posthorn;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startPosthorn();
});

afterAll(async () => {
  await posthorn.close();
  await receiver.close();
});

describe('the Lexigram format', () => {
  it('sends the payload alone as compact JSON, with its four headers in their exact letter case', async () => {
    const webhook = await posthorn.webhook(receiver.url('/lexigram'), ['order.created'], { wireFormat: 'lexigram' });
    expect(webhook.secret).toMatch(/^[0-9a-f]{64}$/);
    const text = '{ "orderId" : "o-1",  "total": 12345678901234567890 }';
    const { body: event } = await posthorn.call('POST', '/v1/events', `{"type":"order.created","data":${text}}`);
    const { body, rawHeaders } = await receiver.waitFor(({ path }) => path === '/lexigram');
    expect(body).toBe('{"orderId":"o-1","total":12345678901234567890}');
    const sent = new Map<string, string>();
    for (let i = 0; i < rawHeaders.length; i += 2) sent.set(rawHeaders[i]!, rawHeaders[i + 1]!);
    expect(sent.get('X-Webhook-Signature')).toBe(`sha256=${hexHmac(webhook.secret, body)}`);
    expect(sent.get('X-Webhook-Event-Type')).toBe('order.created');
    expect(sent.get('X-Webhook-Event-ID')).toBe(event.id);
    expect(sent.get('X-Webhook-Timestamp')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('brings its schedule of five attempts and its 30 seconds', async () => {
    const { id } = await posthorn.webhook('https://a.example', ['order.created'], { wireFormat: 'lexigram' });
    const { body } = await posthorn.call('GET', `/v1/webhooks/${id}`);
    expect(body).toMatchObject({ retrySchedule: ['1s', '2s', '4s', '8s'], timeout: '30s' });
  });
});
