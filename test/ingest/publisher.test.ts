import { describe, expect, it } from 'vitest';
import { Inbox } from '../../src/ingest/inbox.ts';
import { Publisher, type PostOutcome } from '../../src/ingest/publisher.ts';

/** Posthorn, as far as a publisher sees it: refuses batches that hold one of `bad`. */
function scene(bad: readonly string[], more: { stopsAtRefusal?: boolean; outcomes?: PostOutcome[] } = {}) {
  const batches: string[][] = [];
  const waits: number[] = [];
  const stopping = new AbortController();
  const publisher = new Publisher({
    post: (body) => {
      const { events } = JSON.parse(body) as { events: string[] };
      batches.push(events);
      const next = more.outcomes?.shift();
      const first = events.findIndex((event) => bad.includes(event));
      const reason = `events[${first}]: ${events[first]} is bad`;
      return Promise.resolve(next ?? (first === -1 ? { kind: 'accepted' } : { kind: 'refused', reason }));
    },
    stopsAtRefusal: more.stopsAtRefusal ?? false,
    waiting: (_, ms) => {
      waits.push(ms);
      if (waits.length === 3) stopping.abort();
    },
    resumed: () => undefined,
    signal: stopping.signal,
  });
  const publish = (events: readonly string[]) => publisher.publish(events.map((event) => JSON.stringify(event)));
  return { publish, batches, waits };
}

const letters = [...'abcdefghij'];

describe('a batch', () => {
  it('goes out as one request, and in several where it is large', async () => {
    const { publish, batches } = scene([]);
    expect(await publish(letters)).toEqual(letters.map(() => 'accepted'));
    expect(batches).toEqual([letters]);
    const large = letters.map((letter) => letter.repeat(300_000));
    await publish(large);
    expect(batches.slice(1).map(({ length }) => length)).toEqual([3, 3, 3, 1]);
    expect(batches.slice(1).flat()).toEqual(large);
  });

  it('is halved where it is refused, until those stand alone that are to blame, and keeps its order', async () => {
    const { publish, batches } = scene(['c', 'j']);
    const outcomes = await publish(letters);
    expect(outcomes.map((outcome) => (typeof outcome === 'object' ? outcome.refused : outcome))).toEqual(
      letters.map((letter) => (letter === 'c' || letter === 'j' ? `${letter} is bad` : 'accepted')),
    );
    const taken = batches.filter((batch) => !batch.includes('c') && !batch.includes('j')).flat();
    expect(taken).toEqual(letters.filter((letter) => letter !== 'c' && letter !== 'j'));
  });

  it('leaves what comes after a refusal unsent where that ends the work', async () => {
    const { publish, batches } = scene(['c'], { stopsAtRefusal: true });
    const outcomes = await publish(letters);
    expect(outcomes.map((outcome) => (typeof outcome === 'object' ? 'refused' : outcome))).toEqual(
      letters.map((letter) => (letter < 'c' ? 'accepted' : letter === 'c' ? 'refused' : 'unsent')),
    );
    expect(batches.filter((batch) => !batch.includes('c')).flat()).toEqual(['a', 'b']);
  });

  it('waits longer each time, as long as it is asked to, and leaves it unsent when it is stopped', async () => {
    const later: PostOutcome = { kind: 'later', reason: 'away', afterMs: null };
    const { publish, waits } = scene([], { outcomes: [later, later, { ...later, afterMs: 5_000 }, later] });
    expect(await publish(letters)).toEqual(letters.map(() => 'unsent'));
    expect(waits[1]!).toBeGreaterThan(waits[0]!);
    expect(waits[2]).toBe(5_000);
  });
});

describe('an inbox', () => {
  const signal = new AbortController().signal;

  it('gives what is there once the first has come and the wait for others is over', async () => {
    const inbox = new Inbox<number>();
    const taking = inbox.take(2, 0, signal);
    inbox.put(1);
    expect(await taking).toEqual([1]);
    for (const n of [2, 3, 4]) inbox.put(n);
    expect(await inbox.take(2, 10_000, signal)).toEqual([2, 3]);
    expect(inbox.size).toBe(1);
  });

  it('lets whoever fills it go on when there is room, or when it is stopped', async () => {
    const inbox = new Inbox<number>();
    const stopping = new AbortController();
    inbox.put(1);
    const filling = inbox.room(1, stopping.signal).then(() => 'room');
    expect(await Promise.race([filling, Promise.resolve('none')])).toBe('none');
    await inbox.take(1, 0, signal);
    expect(await filling).toBe('room');
    inbox.put(2);
    const stopped = inbox.room(1, stopping.signal).then(() => 'room');
    stopping.abort();
    expect(await stopped).toBe('room');
  });

  it('gives nothing when it is stopped, and what went wrong to whoever takes', async () => {
    const inbox = new Inbox<number>();
    const stopping = new AbortController();
    const taking = inbox.take(1, 0, stopping.signal);
    stopping.abort();
    expect(await taking).toEqual([]);
    const failing = inbox.take(1, 0, signal);
    inbox.fail(new Error('gone'));
    await expect(failing).rejects.toThrow('gone');
  });
});
