import {
  createPosthorn,
  lexigram,
  type Catalogue,
  type Posthorn,
  type PosthornOptions,
  type Result,
} from '../../src/index.ts';

/** A started Posthorn of this test's own: in the Lexigram format, three quick attempts, receivers on this machine. */
export async function startLibrary<const Types extends Catalogue = Catalogue>(
  options: PosthornOptions<Types> = {},
): Promise<Posthorn<Types>> {
  const posthorn = createPosthorn<Types>({
    ...lexigram(),
    store: 'memory',
    retry: { attempts: 3, baseDelayMs: 40, factor: 1 },
    allowPrivateUrls: true,
    ...options,
  } as PosthornOptions<Types>);
  await posthorn.start();
  return posthorn;
}

/** The value of an Ok; throws an Err. */
export function valueOf<Value>(result: Result<Value>): Value {
  if (result.ok) return result.value;
  throw new Error(`${result.error.code}: ${result.error.message}`);
}

/** The code of an Err; throws an Ok. */
export function codeOf(result: Result<unknown>): string {
  if (!result.ok) return result.error.code;
  throw new Error(`unexpectedly ok: ${JSON.stringify(result.value)}`);
}

/** Asks again, at most every 10 ms and for 15 s: for states that nothing announces. */
export async function eventually<Value>(ask: () => Promise<Value>, fits: (value: Value) => boolean): Promise<Value> {
  const end = Date.now() + 15_000;
  for (;;) {
    const value = await ask();
    if (fits(value)) return value;
    if (Date.now() > end) throw new Error(`still not so: ${JSON.stringify(value).slice(0, 1000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
