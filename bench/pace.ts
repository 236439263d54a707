// The clock of open-loop load, in a thread of its own: sleeps to within some 60 µs of each due time and then wakes the
// load generator. Node's own timers come up to a whole millisecond late, which would be counted as latency.
import { parentPort, workerData } from 'node:worker_threads';
import { nowUs } from './clock.ts';

const { startAtUs, intervalUs, endAtUs } = workerData as { startAtUs: number; intervalUs: number; endAtUs: number };
const cell = new Int32Array(new SharedArrayBuffer(4));

for (let dueAtUs = startAtUs; dueAtUs < endAtUs; dueAtUs += intervalUs) {
  const waitUs = dueAtUs - nowUs();
  if (waitUs > 0) Atomics.wait(cell, 0, 0, waitUs / 1000);
  parentPort?.postMessage(null);
}
