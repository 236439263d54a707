import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

const schema = {
  type: 'object',
  required: ['orderId', 'items'],
  properties: { orderId: { type: 'string' }, items: { type: 'array', items: { type: 'object', required: ['sku'] } } },
};

describe('the catalogue', () => {
  it('is registered by one of two who ask at once', async () => {
    const make = () => api.call('POST', '/v1/event-types', { body: { name: 'contested.type' } });
    const answers = await Promise.all([make(), make()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    await api.call('DELETE', '/v1/event-types/contested.type');
  });

  it('registers a type once, shows it, replaces and removes it', async () => {
    const made = await api.call('POST', '/v1/event-types', {
      body: { name: 'cat.made', description: 'A cat.', examples: [{ name: 'Tom' }] },
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: 'cat.made', schema: null, isArchived: false, examples: [{ name: 'Tom' }] });
    const again = await api.call('POST', '/v1/event-types', { body: { name: 'cat.made' } });
    expect(again).toMatchObject({ status: 409, body: { code: 'ALREADY_EXISTS' } });
    const put = await api.call('PUT', '/v1/event-types/cat.made', { body: { schema: { type: 'object' } } });
    expect(put.body).toMatchObject({ description: null, schema: { type: 'object' }, createdAt: made.body.createdAt });
    expect((await api.call('GET', '/v1/event-types/cat.made')).body).toEqual(put.body);
    const gone = await api.call('DELETE', '/v1/event-types/cat.made');
    expect([gone.status, gone.text]).toEqual([204, '']);
    expect((await api.call('GET', '/v1/event-types/cat.made')).status).toBe(404);
    expect((await api.call('DELETE', '/v1/event-types/cat.made')).status).toBe(404);
  });

  it('is listed by name, in pages', async () => {
    for (const name of ['b.2', 'b.1', 'b.3']) await api.call('PUT', `/v1/event-types/${name}`, { body: {} });
    const first = await api.call('GET', '/v1/event-types?limit=2');
    const rest = await api.call('GET', `/v1/event-types?limit=2&cursor=${first.body.nextCursor}`);
    const names = [...first.body.eventTypes, ...rest.body.eventTypes].map(({ name }) => name);
    expect([names, rest.body.nextCursor]).toEqual([['b.1', 'b.2', 'b.3'], null]);
  });

  it('checks payloads by schema, and names the path of what is wrong', async () => {
    await api.call('PUT', '/v1/event-types/order.paid', { body: { schema } });
    const publish = (data: unknown) => api.call('POST', '/v1/events', { body: { type: 'order.paid', data } });
    expect((await publish({ orderId: 'o-1', items: [{ sku: 'x' }] })).status).toBe(202);
    const wrong = await publish({ orderId: 'o-1', items: [{ sku: 'x' }, {}] });
    expect(wrong).toMatchObject({
      status: 422,
      body: { code: 'INVALID_EVENT_DATA', errors: [{ field: 'data.items[1].sku' }] },
    });
    const batch = await api.call('POST', '/v1/events/batch', { body: { events: [{ type: 'order.paid', data: {} }] } });
    expect(batch).toMatchObject({ status: 422, body: { errors: [{ field: 'events[0].data.orderId' }] } });
    await api.call('PUT', '/v1/event-types/order.paid', { body: { isArchived: true } });
    expect(await publish({})).toMatchObject({ status: 422, body: { code: 'UNKNOWN_EVENT_TYPE' } });
  });

  it.each([
    [{}, 'name'],
    [{ name: 'a b' }, 'name'],
    [{ name: 'a.*' }, 'name'],
    [{ name: 'a', schema: 'text' }, 'schema'],
    [{ name: 'a', schema: { type: 'nosuch' } }, 'schema'],
    [{ name: 'a', schema, examples: [{ orderId: 7, items: [] }] }, 'examples[0].orderId'],
    [{ name: 'a', examples: {} }, 'examples'],
    [{ name: 'a', archived: true }, 'archived'],
  ])('refuses %j', async (body, field) => {
    const answer = await api.call('POST', '/v1/event-types', { body });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });
});
