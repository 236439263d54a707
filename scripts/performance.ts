// Writes the numbers of bench/results/latest.json into docs/performance.md. `--check` fails when they are stale.
import { writePage } from '../bench/page.ts';

const isCheck = process.argv.includes('--check');
if (writePage(isCheck) && isCheck) {
  console.error('docs/performance.md is not what bench/results/latest.json says: run `node scripts/performance.ts`');
  process.exitCode = 1;
}
