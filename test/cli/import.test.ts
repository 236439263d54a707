import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readImportRows, type ReadOptions } from '../../src/cli/import-rows.ts';
import { dataDir, startServer, type Running } from '../e2e/server.ts';
import { runCommand, type Ended } from './run-command.ts';

const plain: ReadOptions = {
  format: 'csv',
  columns: new Map(),
  tenantColumn: null,
  defaultEvents: null,
  wireFormat: null,
};

describe('rows of a file', () => {
  test('columns are found by their usual names, events in every usual spelling', () => {
    const csv = [
      'Webhook_ID,target_url,event_types,signing_secret,is_active,created_at',
      '1,https://a.example/1,"[""a.b"",""c.d""]",s1,t,2026-01-31 12:00:00',
      '2,https://a.example/2,"{a.b,c.d}",s2,disabled,1769860800',
      '3,https://a.example/3,"a.b, c.d",s3,1,2026-01-31T13:00:00+01:00',
    ].join('\r\n');
    expect(readImportRows(`\ufeff${csv}`, plain)).toEqual(
      [1, 2, 3].map((n) => ({
        number: n + 1,
        tenant: null,
        problem: null,
        row: {
          id: String(n),
          url: `https://a.example/${n}`,
          events: ['a.b', 'c.d'],
          secret: `s${n}`,
          isActive: n !== 2,
          createdAt: '2026-01-31T12:00:00.000Z',
        },
      })),
    );
  });

  test('a list, an object around it and one object a line are the same', () => {
    const row = { url: 'https://a.example', events: ['*'] };
    const json: ReadOptions = { ...plain, format: 'json' };
    const texts = [[row, row], { webhooks: [row, row] }].map((value) => JSON.stringify(value));
    for (const text of [...texts, `${JSON.stringify(row)}\n${JSON.stringify(row)}\n`]) {
      expect(readImportRows(text, json).map((source) => source.row)).toEqual([row, row]);
    }
  });

  test('what cannot be read names the field, and stops no other row', () => {
    const rows = readImportRows('url,active,created_at\nhttps://a.example,perhaps,\nhttps://b.example,yes,soon', plain);
    expect(rows.map(({ problem }) => problem)).toEqual([
      'isActive: "perhaps" is neither active nor inactive; write true or false',
      'createdAt: "soon" is not a time; write 2026-01-31T12:00:00Z',
    ]);
  });

  test.each([
    ['json', '', 'is not JSON'],
    ['json', '{}', 'holds no list of endpoints'],
    ['json', '[1]', 'element 1 of the file is no object'],
    ['csv', '', 'names no endpoint'],
    ['csv', 'url,events\n"https://a', 'is not CSV'],
  ] as const)('%s %j: says what is wrong with the file', (format, text, message) => {
    expect(() => readImportRows(text, { ...plain, format })).toThrow(message);
  });
});

describe('posthorn import', () => {
  let folder: string;
  let data: ReturnType<typeof dataDir>;
  let posthorn: Running;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-import-'));
    data = dataDir();
    posthorn = await startServer(data.path);
  });
  afterEach(async () => {
    await posthorn.stop();
    data.remove();
    rmSync(folder, { recursive: true });
  });

  function run(argv: readonly string[], stdin?: string): Promise<Ended> {
    return runCommand(['import', ...argv], {
      cwd: folder,
      env: { POSTHORN_URL: posthorn.base },
      ...(stdin === undefined ? {} : { stdin }),
    });
  }

  const table = [
    'id,url,events,secret,is_active,created_at',
    'wh_01JXYZ4T8Q2M5N7P9R1S3V5000,https://a.example/hook,"grant.created,grant.revoked",whsec_of_the_first,true,2026-01-31T12:00:00Z',
    '550e8400-e29b-41d4-a716-446655440000,https://b.example/hook,token.issued,another secret,false,2026-02-01T12:00:00Z',
    'cuid_abc123,https://c.example/hook,*,third-secret,true,2026-02-02T12:00:00Z',
  ].join('\n');

  test('keeps ids, secrets, state and age, and takes the same file again without harm', async () => {
    writeFileSync(join(folder, 'webhooks.csv'), table);
    const argv = ['webhooks.csv', '--wire-format', 'grantex'];
    expect(await run([...argv, '--dry-run'])).toEqual({ code: 0, stdout: '3 endpoints would be made.\n', stderr: '' });
    expect((await posthorn.call('GET', '/v1/webhooks')).body.webhooks).toEqual([]);

    expect(await run(argv)).toEqual({ code: 0, stdout: '3 endpoints were made.\n', stderr: '' });
    const { body } = await posthorn.call('GET', '/v1/webhooks');
    expect(body.webhooks).toMatchObject([
      { id: 'cuid_abc123', url: 'https://c.example/hook', events: ['*'], isActive: true, wireFormat: 'grantex' },
      { url: 'https://b.example/hook', isActive: false, createdAt: '2026-02-01T12:00:00.000Z' },
      { id: 'wh_01JXYZ4T8Q2M5N7P9R1S3V5000', events: ['grant.created', 'grant.revoked'] },
    ]);
    for (const id of ['cuid_abc123', '550e8400-e29b-41d4-a716-446655440000', 'wh_01JXYZ4T8Q2M5N7P9R1S3V5000']) {
      expect((await posthorn.call('GET', `/v1/webhooks/${id}`)).status, id).toBe(200);
    }
    const stored = posthorn.server.engine.endpoints.list('default').map(({ secrets }) => secrets[0]!.value);
    expect(stored).toEqual(['third-secret', 'another secret', 'whsec_of_the_first']);

    expect(await run(argv)).toEqual({ code: 0, stdout: '0 endpoints were made, 3 there already.\n', stderr: '' });
  });

  test('rows that do not fit are named with their line, the others are taken', async () => {
    const csv = `${table}\nnope,not a url,*,s,true,\nx,https://d.example,*,s,maybe,`;
    const { code, stdout, stderr } = await run(['-', '--format', 'csv', '--wire-format', 'grantex'], csv);
    expect(code).toBe(1);
    expect(stdout).toBe('3 endpoints were made, 2 not taken.\n');
    expect(stderr).toMatch(/^row 5: url: .*\nrow 6: isActive: "maybe" is neither/);
  });

  test('spreads rows over tenants, and shows secrets that had to be made', async () => {
    const json = JSON.stringify({
      webhooks: [
        { org: 'acme', hook: 'https://a.example', events: ['a.b'] },
        { org: 'globex', hook: 'https://b.example', events: ['a.b'], secret: 'kept as it is' },
      ],
    });
    const argv = ['-', '--format', 'json', '--wire-format', 'gravv', '--tenants-from', 'org', '--map', 'url=hook'];
    const { code, stdout } = await run(argv, json);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^row 1 {2}wh_\w{26} {2}\S+\nThese had no secret; the new one is not shown again\.\n2 endpoints were made\.\n$/,
    );
    for (const tenant of ['acme', 'globex']) {
      const { body } = await posthorn.call('GET', '/v1/webhooks', undefined, { 'posthorn-tenant': tenant });
      expect(body.webhooks).toHaveLength(1);
    }
  });

  test.each([
    [['missing.csv'], 'there is no file missing.csv'],
    [['-'], '--format: say whether'],
    [['-', '--format', 'json', '--map', 'link=url'], '--map: "link=url" does not fit'],
  ])('%j: ends with code 2 and says what to change', async (argv, message) => {
    const { code, stderr } = await run(argv, '[]');
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
