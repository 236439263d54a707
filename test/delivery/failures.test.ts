import { afterEach, describe, expect, it } from 'vitest';
import { becomes, cleanUp, counts, hang, isQuiet, publish, rig, type Rig } from '../attack/engine-rig.ts';
import { clock } from './clock.ts';

afterEach(cleanUp);

const disableAfter = { failures: 4, withinMs: 3_600_000 };
const noRetries = { retryScheduleMs: [] };

async function make(r: Rig, more: object = {}): Promise<string> {
  const made = { url: r.receiver.url(), events: ['*'], concurrency: 1, ...noRetries, ...more };
  return (await r.engine.endpoints.create('default', made)).endpoint.id;
}

/** Sends so many events, one after the other, each to its end. */
async function send(r: Rig, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await publish(r.engine, 'a');
    await becomes(() => isQuiet(r.engine), 3000);
  }
}

const isActive = (r: Rig, id: string): boolean => r.engine.endpoints.get('default', id).isActive;

describe('an endpoint that only fails', () => {
  it('is disabled after so many failed attempts, says why, and holds what comes', async () => {
    const r = await rig({ disableAfter });
    r.receiver.answer('/hook', 500);
    const id = await make(r);
    await send(r, 3);
    expect(isActive(r, id)).toBe(true);
    await send(r, 1);
    expect(await becomes(() => !isActive(r, id), 2000)).toBe(true);
    expect(r.engine.endpoints.get('default', id).disabledReason).toBe('failing');
    await send(r, 2);
    expect(await counts(r.engine)).toMatchObject({ dead_letter: 4, held: 2 });
    r.receiver.answer('/hook', 200);
    await r.engine.endpoints.enable('default', id);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 2, 2000)).toBe(true);
  });

  it('is left alone without the setting', async () => {
    const r = await rig();
    r.receiver.answer('/hook', 500);
    const id = await make(r);
    await send(r, 10);
    expect(isActive(r, id)).toBe(true);
  });

  it('counts anew after a success, after it was enabled, and at another URL', async () => {
    const r = await rig({ disableAfter });
    const id = await make(r);
    for (const path of ['/hook', '/other']) {
      r.receiver.answer(path, 500);
      await r.engine.endpoints.update('default', id, { url: r.receiver.url(path) });
      await send(r, 3);
      r.receiver.answer(path, 200);
      await send(r, 1);
      r.receiver.answer(path, 500);
      await send(r, 3);
      await r.engine.endpoints.disable('default', id);
      await r.engine.endpoints.enable('default', id);
      await send(r, 3);
    }
    expect(isActive(r, id)).toBe(true);
    await send(r, 1);
    expect(await becomes(() => !isActive(r, id), 2000)).toBe(true);
  });

  it('forgets failures that are longer ago than the window', async () => {
    const time = clock();
    const r = await rig({ disableAfter, now: time.now });
    r.receiver.answer('/hook', 500);
    const id = await make(r);
    await send(r, 3);
    time.nextDay();
    await send(r, 3);
    expect(isActive(r, id)).toBe(true);
    await send(r, 1);
    expect(await becomes(() => !isActive(r, id), 2000)).toBe(true);
  });

  it('counts over a start: what failed before it since the last success', async () => {
    const r = await rig({ disableAfter });
    r.receiver.answer('/hook', 500);
    const id = await make(r);
    await send(r, 3);
    await r.restart();
    expect(isActive(r, id)).toBe(true);
    await send(r, 1);
    expect(await becomes(() => !isActive(r, id), 2000)).toBe(true);
  });

  it('does not count over a start what came before its last success, or before it was enabled', async () => {
    const r = await rig({ disableAfter });
    r.receiver.answer('/hook', 500);
    const id = await make(r);
    await send(r, 3);
    r.receiver.answer('/hook', 200);
    await send(r, 1);
    r.receiver.answer('/hook', 500);
    await r.restart();
    await send(r, 3);
    expect(isActive(r, id)).toBe(true);
    await r.engine.endpoints.disable('default', id);
    await r.engine.endpoints.enable('default', id);
    await r.restart();
    await send(r, 3);
    expect(isActive(r, id)).toBe(true);
  });

  it('is not judged by attempts made while two secrets sign, nor by those that began before it was enabled', async () => {
    const r = await rig({ disableAfter });
    r.receiver.answer('/hook', 500);
    const id = await make(r, { concurrency: 8 });
    await r.engine.endpoints.rotateSecret('default', id);
    await send(r, 6);
    expect(isActive(r, id)).toBe(true);
    await r.engine.endpoints.rotateSecret('default', id, { graceMs: 0 });
    const gate = hang(r.receiver, '/hook', 500);
    for (let i = 0; i < 4; i++) await publish(r.engine, 'a');
    expect(await becomes(() => r.receiver.requests.length === 10, 2000)).toBe(true);
    await r.engine.endpoints.disable('default', id);
    await r.engine.endpoints.enable('default', id);
    gate.all();
    expect(await becomes(() => isQuiet(r.engine), 2000)).toBe(true);
    expect(isActive(r, id)).toBe(true);
  });
});
