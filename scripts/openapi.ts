// Writes spec/openapi.json from the routes; `--check` fails when it is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openApiDocument } from '../src/api/openapi.ts';
import { routes } from '../src/api/routes.ts';
import { version } from '../src/version.ts';

const file = join(import.meta.dirname, '..', 'spec', 'openapi.json');
const document = { 'x-generated': 'by scripts/openapi.ts; do not edit', ...openApiDocument(routes, version) };
const text = `${JSON.stringify(document, null, 2)}\n`;

if (!process.argv.includes('--check')) {
  writeFileSync(file, text);
} else if (read() !== text) {
  console.error('spec/openapi.json is stale; run `node scripts/openapi.ts`.');
  process.exitCode = 1;
}

function read(): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
