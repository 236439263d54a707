// Preloaded (`node --import`) it makes a Posthorn the next release: it has one more migration, and is the same else.
import { registerHooks } from 'node:module';

const { href: current } = new URL('../../src/store/postgres/migrations/index.ts', import.meta.url);
const { href: next } = new URL('next-migrations.ts', import.meta.url);

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    const isOurs = resolved.url === current && context.parentURL !== next;
    return isOurs ? { ...resolved, url: next } : resolved;
  },
});
