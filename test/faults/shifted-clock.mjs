// Preloaded (`node --import`) it makes the clock of a process wrong by CLOCK_SHIFT_MS.
import { performance } from 'node:perf_hooks';

const shiftMs = Number(process.env.CLOCK_SHIFT_MS);
const { now } = Date;
const { timeOrigin } = performance;

globalThis.Date = new Proxy(Date, {
  construct: (target, values, as) => Reflect.construct(target, values.length > 0 ? values : [now() + shiftMs], as),
  apply: (target) => new target(now() + shiftMs).toString(),
  get: (target, key) => (key === 'now' ? () => now() + shiftMs : Reflect.get(target, key)),
});
Object.defineProperty(performance, 'timeOrigin', { value: timeOrigin + shiftMs });
