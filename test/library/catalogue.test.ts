import Type from 'typebox';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import type { createPosthorn } from '../../src/index.ts';
import type { DataOf, Posthorn } from '../../src/index.ts';
import { startLibrary } from './posthorn.ts';

const events = {
  'order.created': Type.Object({ id: Type.String(), total: Type.Integer({ minimum: 0 }) }, { description: 'Placed' }),
  'order.cancelled': {
    type: 'object',
    required: ['id'],
    properties: { id: { type: 'string' }, reason: { enum: ['customer', 'fraud'] } },
  },
} as const;

let posthorn: Posthorn<typeof events>;
beforeAll(async () => {
  posthorn = await startLibrary({ events, catalogue: 'closed' });
});
afterAll(() => posthorn.stop());

describe('a typed catalogue', () => {
  it('knows the data of each type, from TypeBox and from JSON Schema as it is written', () => {
    expectTypeOf<DataOf<typeof events, 'order.created'>>().toEqualTypeOf<{ id: string; total: number }>();
    expectTypeOf<DataOf<typeof events, 'order.cancelled'>>().toExtend<{ id: string; reason?: 'customer' | 'fraud' }>();
    expectTypeOf<DataOf<typeof events, 'order.cancelled'>>().not.toBeAny();
  });

  it('refuses wrong data when it is compiled, and when it is run', async () => {
    expect((await posthorn.publish('order.created', { id: 'o-1', total: 5 })).ok).toBe(true);
    // @ts-expect-error -- the total is no text
    expect(await posthorn.publish('order.created', { id: 'o-1', total: '5' })).toMatchObject({
      error: { code: 'invalid-event-data', fields: [{ field: 'data.total' }] },
    });
    // @ts-expect-error -- the id is missing
    expect((await posthorn.publish('order.cancelled', {})).ok).toBe(false);
    // @ts-expect-error -- no such type
    expect(await posthorn.publish('order.forgotten', {})).toMatchObject({ error: { code: 'unknown-event-type' } });
  });

  it('without a catalogue any type and any data will do', () => {
    expectTypeOf<Parameters<ReturnType<typeof createPosthorn>['publish']>[0]>().toEqualTypeOf<string>();
  });
});
