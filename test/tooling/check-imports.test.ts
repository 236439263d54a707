import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkImports } from '../../scripts/check-imports.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'posthorn-imports-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function faultsOf(files: Record<string, string>): string[] {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  return checkImports(folder);
}

describe('the import direction', () => {
  test('lets every part import the parts below it, and the composition root name the adapters', () => {
    expect(
      faultsOf({
        'model/event.ts': `import { randomBytes } from 'node:crypto'; import './id.ts'; randomBytes(1);`,
        'wire/compile.ts': `import type { Event } from '../model/event.ts'; export type E = Event;`,
        'store/sqlite/writer.ts': `import '../store.ts'; import './schema.ts'; import '../../errors.ts';`,
        'delivery/worker.ts': `import '../store/store.ts'; import '../wire/compile.ts'; import '../transport/sender.ts';`,
        'api/faces/grantex.ts': `import '../../delivery/publish.ts'; import '../routes.ts';`,
        'posthorn.ts': `import './store/sqlite/store.ts'; import './store/postgres/store.ts'; import './api/server.ts';`,
        'cli/main.ts': `import '../posthorn.ts'; import '../config.ts';`,
      }),
    ).toEqual([]);
  });

  test('names file, line and rule of an import that points upwards', () => {
    const [fault, ...others] = faultsOf({
      'model/retry.ts': `import './delivery.ts';\n\nimport { send } from '../transport/sender.ts';\nsend();\n`,
    });
    expect(others).toEqual([]);
    expect(fault).toMatch(
      /model\/retry\.ts:3: model → \.\.\/transport\/sender\.ts \(model may import nothing but itself\)$/,
    );
  });

  test.each([
    ['a type-only import', `import type { Api } from '../api/server.ts'; export type A = Api;`],
    ['a re-export', `export * from '../api/server.ts';`],
    ['a dynamic import', `export const later = () => import('../api/server.ts');`],
    ['an import type', `export type A = import('../api/server.ts').Api;`],
  ])('sees %s', (_kind, text) => {
    expect(faultsOf({ 'delivery/publish.ts': text })).toHaveLength(1);
  });

  test('refuses an adapter named outside the composition root', () => {
    const text = `import { openSqliteStore } from '../store/sqlite/store.ts'; openSqliteStore();`;
    expect(faultsOf({ 'api/server.ts': text })).toEqual([expect.stringContaining('only posthorn.ts names')]);
    expect(faultsOf({ 'api/server.ts': '', 'cli/migrate.ts': text })).toHaveLength(1);
    expect(faultsOf({ 'cli/migrate.ts': '', 'store/open.ts': `import './sqlite/store.ts';` })).toHaveLength(1);
  });

  test('refuses wire and transport to each other, and one adapter to the other', () => {
    expect(faultsOf({ 'wire/a.ts': `import '../transport/b.ts';` })).toHaveLength(1);
    expect(faultsOf({ 'wire/a.ts': '', 'store/sqlite/a.ts': `import '../postgres/b.ts';` })).toHaveLength(1);
  });

  test('refuses I/O in the model, files outside src, and a folder the house does not know', () => {
    expect(faultsOf({ 'model/a.ts': `import 'node:fs/promises';` })).toHaveLength(1);
    expect(faultsOf({ 'model/a.ts': '', 'api/a.ts': `import '../../package.json';` })).toHaveLength(1);
    expect(faultsOf({ 'api/a.ts': '', 'utils/a.ts': `import '../model/event.ts';` })).toHaveLength(1);
  });
});
