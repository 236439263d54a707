import { PosthornError } from '../errors.ts';

/**
 * True for what passes: the store is away or full, and the same call can succeed later. Anything else is a mistake of
 * ours, and would only fail again.
 */
export function isStoreFault(error: unknown): boolean {
  return error instanceof PosthornError && (error.code === 'STORE_UNAVAILABLE' || error.code === 'STORE_FULL');
}
