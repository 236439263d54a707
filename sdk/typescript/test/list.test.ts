import { expect, it } from 'vitest';
import { List } from '../src/list.ts';

interface Page {
  things: number[];
  nextCursor: string | null;
}

const pages: Record<string, Page> = {
  first: { things: [1, 2], nextCursor: 'second' },
  second: { things: [], nextCursor: 'third' },
  third: { things: [3], nextCursor: null },
};

function list(): { asked: (string | undefined)[]; things: List<Page, number> } {
  const asked: (string | undefined)[] = [];
  const load = (cursor?: string): Promise<Page> => {
    asked.push(cursor);
    return Promise.resolve(pages[cursor ?? 'first']!);
  };
  return { asked, things: new List(load, (page) => page.things) };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

it('a list asks for nothing until it is used', () => {
  expect(list().asked).toEqual([]);
});

it('awaited, it is its first page', async () => {
  const { asked, things } = list();
  expect(await things).toEqual(pages.first);
  expect(asked).toEqual([undefined]);
});

it('iterated, it is every item of every page, also past an empty one', async () => {
  const { asked, things } = list();
  expect(await collect(things)).toEqual([1, 2, 3]);
  expect(asked).toEqual([undefined, 'second', 'third']);
});

it('asks for no further page than is needed', async () => {
  const { asked, things } = list();
  for await (const thing of things) if (thing === 2) break;
  expect(asked).toEqual([undefined]);
});

it('gives its pages one by one, or the one at a cursor', async () => {
  const { things } = list();
  expect(await collect(things.pages())).toEqual(Object.values(pages));
  expect(await things.page('third')).toEqual(pages.third);
});

it('rejects as a promise does', async () => {
  const failing = new List<Page, number>(
    () => Promise.reject(new Error('no')),
    (page) => page.things,
  );
  await expect(failing.then()).rejects.toThrow('no');
  expect(await failing.catch(() => 'caught')).toBe('caught');
  await expect(collect(failing)).rejects.toThrow('no');
});

it.each([
  ['one page again and again', (cursor?: string) => cursor ?? 'a'],
  ['two pages in turns', (cursor?: string) => (cursor === 'a' ? 'b' : 'a')],
  ['a circle behind a straight way', (cursor = '0') => (Number(cursor) < 9 ? String(Number(cursor) + 1) : '3')],
])('a walk ends where pages go round in circles: %s', async (_, next) => {
  const things = new List(
    (cursor?: string) => Promise.resolve({ things: [1], nextCursor: next(cursor) }),
    (page) => page.things,
  );
  await expect(collect(things)).rejects.toMatchObject({ code: 'UNEXPECTED_RESPONSE' });
});

it('an empty cursor is the end, and a long walk is no circle', async () => {
  const load = (cursor = '0') => Promise.resolve({ things: [1], nextCursor: cursor === '500' ? '' : `${+cursor + 1}` });
  expect(await collect(new List(load, (page) => page.things))).toHaveLength(501);
});

it('an answer without items is none of Posthorn’s', async () => {
  const things = new List(
    () => Promise.resolve({ nextCursor: null } as unknown as Page),
    (page) => page.things,
  );
  await expect(things).rejects.toMatchObject({ code: 'UNEXPECTED_RESPONSE' });
  await expect(collect(things)).rejects.toMatchObject({ code: 'UNEXPECTED_RESPONSE' });
});
