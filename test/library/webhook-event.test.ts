import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import ts from 'typescript';
import { DispatchError, webhookEvent, type Posthorn, type WebhookEventOptions } from '../../src/index.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { startLibrary, valueOf } from './posthorn.ts';

let posthorn: Posthorn;
let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
  posthorn = await startLibrary();
});
afterEach(async () => {
  await posthorn.stop();
  await receiver.close();
});

type Orders = { create: (total: number) => Promise<{ id: string; total: number }> };

/** A class with a decorated method: decorators are compiled, since no Node runs them yet. */
function makeOrders(decorator: typeof webhookEvent, type: string, options: WebhookEventOptions): Orders {
  const source = `
    class Orders {
      prefix = 'o-';
      @webhookEvent(type, options)
      async create(total: number) {
        if (total < 0) throw new Error('no');
        return { id: this.prefix + total, total };
      }
    }
    return new Orders();`;
  const { outputText } = ts.transpileModule(`function make(webhookEvent, type, options) {${source}}`, {
    compilerOptions: { target: ts.ScriptTarget.ES2022 },
  });
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the text is the one above, compiled
  const make = new Function(`${outputText}; return make;`)() as (...args: unknown[]) => Orders;
  return make(decorator, type, options);
}

describe('@webhookEvent', () => {
  it('declares the type and dispatches what the method returned', async () => {
    valueOf(await posthorn.subscriptions.create({ url: receiver.url(), eventTypes: ['order.created'] }));
    const orders = makeOrders(webhookEvent, 'order.created', { description: 'An order was placed' });
    expect(await orders.create(5)).toEqual({ id: 'o-5', total: 5 });
    const [request] = await receiver.waitForCount(1);
    expect(request!.body).toBe('{"id":"o-5","total":5}');
    const key = valueOf(await posthorn.createKey({ role: 'operator', tenantId: null }));
    const answer = await posthorn.fetch(
      new Request('http://here/v1/event-types/order.created', { headers: { authorization: `Bearer ${key.key}` } }),
    );
    expect(await answer.json()).toMatchObject({ name: 'order.created', description: 'An order was placed' });
  });

  it('dispatches nothing where the method throws', async () => {
    valueOf(await posthorn.subscriptions.create({ url: receiver.url() }));
    const orders = makeOrders(webhookEvent, 'order.failed', {});
    await expect(orders.create(-1)).rejects.toThrow('no');
    valueOf(await posthorn.publish('after.it', {}));
    const [request] = await receiver.waitForCount(1);
    expect(request!.headers['x-webhook-event-type']).toBe('after.it');
  });

  it('sends to the tenant that the returned value names', async () => {
    valueOf(await posthorn.subscriptions.create({ url: receiver.url('/acme'), tenantId: 'acme' }));
    valueOf(await posthorn.subscriptions.create({ url: receiver.url('/nobody') }));
    const tenantId = ({ total }: { total: number }) => (total === 1 ? 'acme' : null);
    await makeOrders(posthorn.webhookEvent, 'order.created', { tenantId }).create(1);
    await receiver.waitForCount(1, '/acme');
    expect(receiver.requests.filter(({ path }) => path === '/nobody')).toEqual([]);
  });

  it('tells the caller where the event could not be stored, with what the method returned', async () => {
    const schema = { type: 'object', required: ['missing'] };
    const orders = makeOrders(webhookEvent, 'order.typed', { schema });
    const failure = await orders.create(7).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DispatchError);
    expect(failure).toMatchObject({ returned: { id: 'o-7' }, failure: { code: 'invalid-event-data' } });

    const seen: string[] = [];
    const quiet = makeOrders(webhookEvent, 'order.typed-2', { schema, onFailure: ({ code }) => seen.push(code) });
    expect(await quiet.create(8)).toMatchObject({ total: 8 });
    expect(seen).toEqual(['invalid-event-data']);
  });

  it('says what to do where none is started, or several are', async () => {
    const orders = makeOrders(webhookEvent, 'order.created', {});
    const second = await startLibrary();
    await expect(orders.create(1)).rejects.toThrow('several are started');
    await second.stop();
    await posthorn.stop();
    await expect(orders.create(1)).rejects.toThrow('call start() first');
  });

  it('types declared before the start are in the catalogue after it', async () => {
    await posthorn.stop();
    makeOrders(webhookEvent, 'declared.early', {});
    posthorn = await startLibrary({ catalogue: 'closed' });
    expect((await posthorn.publish('declared.early', {})).ok).toBe(true);
    expect(await posthorn.publish('never.declared', {})).toMatchObject({ error: { code: 'unknown-event-type' } });
  });
});
