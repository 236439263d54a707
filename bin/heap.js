/** Keeps glibc from giving each thread an arena of its own, in which freed memory stays. Nothing to others. */
export const heapEnv = { MALLOC_ARENA_MAX: '2' };

/**
 * How the heap of a server may grow, for Node's command line. A delivery lives until the store has written what became of it, a
 * few tenths of a second under load: longer than the young generation keeps things, however large. So that the old generation is
 * not collected twice a second for them, it may grow to two and a half times of what lives: with half the young generation, 16 MiB
 * instead of 32, that is 6 % less CPU a delivery in about the same memory. The last limit is there because V8 would let garbage
 * pile up to a share of the machine's memory. NODE_OPTIONS with a --max-old-space-size of its own has the last word.
 */
export const heapFlags = ['--max-semi-space-size=16', '--heap-growing-percent=150', '--max-old-space-size=960'];
