import { PosthornError } from '../errors.ts';
import type { Engine } from './engine.ts';

/**
 * What `look` finds in memory. Where that is nothing (null, or it throws NOT_FOUND), another node may have made it a
 * moment ago: then it looks once more when that would be known here.
 */
export async function known<Found>(engine: Pick<Engine, 'catchUp'>, look: () => Found): Promise<Found> {
  try {
    const found = look();
    if (found !== null) return found;
  } catch (error) {
    if (!(error instanceof PosthornError) || error.code !== 'NOT_FOUND') throw error;
  }
  await engine.catchUp();
  return look();
}
