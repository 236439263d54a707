import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDatabaseUrl } from '../../src/config/database-url.ts';
import { PosthornError } from '../../src/errors.ts';
import { Connections } from '../../src/store/postgres/connections.ts';
import { objectionTo } from '../../src/store/postgres/diagnose.ts';
import { prepareDatabase } from '../../src/store/postgres/prepare.ts';
import { makeCertificates } from '../transport/certificates.ts';
import type { Certificates } from '../transport/certificates.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer } from '../postgres/server.ts';

/** Everything that the messages may not show. */
const PASSWORD = 'correct-horse-battery';

const ADMISSION = `
host    all      postgres  127.0.0.1/32 trust
host    all      ghost     127.0.0.1/32 trust
host    all      crowded   127.0.0.1/32 trust
host    all      guest     127.0.0.1/32 trust
host    all      guarded   127.0.0.1/32 scram-sha-256
hostssl all      encrypted 127.0.0.1/32 trust
host    all      banned    127.0.0.1/32 reject
`;

let server: PostgresServer;
let folder: string;
let certificates: Certificates;
const listeners: Server[] = [];

describe.skipIf(!hasPostgres(18))('a database that cannot be used', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-start-'));
    certificates = makeCertificates();
    const { good, ca } = certificates;
    writeFileSync(join(folder, 'ca.pem'), ca);
    writeFileSync(join(folder, 'other-ca.pem'), certificates.selfSigned.cert);
    server = await startPostgres({
      settings: { ssl: 'on', ssl_cert_file: 'tls.pem', ssl_key_file: 'tls.key' },
      prepare: (dataDir) => {
        writeFileSync(join(dataDir, 'tls.pem'), good.cert);
        writeFileSync(join(dataDir, 'tls.key'), good.key, { mode: 0o600 });
        writeFileSync(join(dataDir, 'pg_hba.conf'), ADMISSION);
      },
    });
    await server.query(`
      CREATE ROLE crowded LOGIN CONNECTION LIMIT 0;
      CREATE ROLE guest LOGIN;
      CREATE ROLE encrypted LOGIN;
      CREATE ROLE banned LOGIN;
      CREATE ROLE guarded LOGIN PASSWORD '${PASSWORD}'`);
    await server.query('CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0');
  });
  afterAll(async () => {
    await server.stop();
    for (const listener of listeners) listener.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Why a start on this URL fails, in one line that shows no password. */
  async function refusal(url: string, options: { migrate?: boolean; schema?: string } = {}): Promise<string> {
    const { migrate = true, schema = 'posthorn' } = options;
    const connections = new Connections({
      ...{ url: parseDatabaseUrl(url)!, schema, poolSize: 2, statementTimeoutMs: 5_000 },
      onFault: () => undefined,
    });
    try {
      await prepareDatabase(connections, { migrate });
    } catch (error) {
      expect(error).toBeInstanceOf(PosthornError);
      const { message } = error as PosthornError;
      expect(message).not.toMatch(new RegExp(`\\n|${PASSWORD}|postgres://(?!user:password@)`));
      expect(message.length).toBeLessThan(300);
      return message;
    } finally {
      await connections.end();
    }
    throw new Error('It started.');
  }

  const at = (more: { user?: string; password?: string; database?: string; host?: string; query?: string }): string => {
    const { user = 'postgres', password, database = 'postgres', host = '127.0.0.1', query = '' } = more;
    return `postgres://${user}${password === undefined ? '' : `:${password}`}@${host}:${server.port}/${database}${query}`;
  };

  async function listen(listener: Server): Promise<number> {
    listeners.push(listener);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return (listener.address() as AddressInfo).port;
  }

  it('is named by a host that nobody knows', async () => {
    expect(await refusal(`postgres://me:${PASSWORD}@db.invalid/x`)).toMatch(
      /^The host "db\.invalid" of the database is not found \((ENOTFOUND|EAI_AGAIN)\)\. Correct it in POSTHORN_DATABASE_URL/,
    );
  });

  it('is named by a port where nothing listens', async () => {
    const port = await listen(createServer());
    listeners.pop()!.close();
    for (const host of ['127.0.0.1', 'localhost']) {
      expect(await refusal(`postgres://me:${PASSWORD}@${host}:${port}/x`)).toBe(
        `Nothing takes connections at ${host}:${port}. Start PostgreSQL there, or correct host and port in POSTHORN_DATABASE_URL.`,
      );
    }
    expect(await refusal(`postgres://me@/x?host=${join(folder, 'none')}`)).toMatch(/^Nothing takes connections at \//);
  });

  it('is named by a port where something else listens', async () => {
    const web = await listen(createHttpServer((_, response) => response.end()));
    const rude = await listen(createServer((socket) => socket.resetAndDestroy()));
    const chatty = await listen(createServer((socket) => socket.on('error', () => undefined).end('-ERR unknown\r\n')));
    for (const port of [web, rude, chatty]) {
      for (const query of ['', '?sslmode=verify-full']) {
        expect(await refusal(`postgres://me:${PASSWORD}@127.0.0.1:${port}/x${query}`)).toBe(
          `What listens at 127.0.0.1:${port} does not speak as PostgreSQL does. Correct host and port in POSTHORN_DATABASE_URL.`,
        );
      }
    }
  });

  it('is named by a port where something keeps silent', async () => {
    const port = await listen(createServer((socket) => void socket.on('error', () => undefined)));
    expect(await refusal(`postgres://me@127.0.0.1:${port}/x`)).toMatch(/does not answer in time\. Check host and port/);
  });

  it('wants another password, or any', async () => {
    expect(await refusal(at({ user: 'guarded', password: 'wrong' }))).toMatch(
      /refuses the password of "guarded", or has no such role\. Correct user and password in POSTHORN_DATABASE_URL\.$/,
    );
    expect(await refusal(at({ user: 'guarded' }))).toMatch(/wants a password\. Put it into POSTHORN_DATABASE_URL/);
  });

  it('knows no such role', async () => {
    expect(await refusal(at({ user: 'ghost' }))).toMatch(/has no role "ghost"\. Make it with createuser/);
  });

  it('does not exist', async () => {
    expect(await refusal(at({ database: 'missing' }))).toBe(
      `PostgreSQL at 127.0.0.1:${server.port} has no database "missing". Make it: createdb -h 127.0.0.1 -p ${server.port} -O postgres missing; or correct its name in POSTHORN_DATABASE_URL.`,
    );
  });

  it('does not admit this machine', async () => {
    for (const user of ['unlisted', 'banned']) {
      expect(await refusal(at({ user, query: '?sslmode=require' }))).toMatch(
        /does not admit "\w+" to "postgres" from this machine\. Add a line for it to the server's pg_hba\.conf\.$/,
      );
    }
  });

  it('wants TLS', async () => {
    expect(await refusal(at({ user: 'encrypted' }))).toMatch(
      /refuses "encrypted" without TLS\. Add \?sslmode=verify-full to POSTHORN_DATABASE_URL/,
    );
  });

  it('has no TLS where we want it', async () => {
    const plain = await startPostgres({ version: hasPostgres(14) ? 14 : 18 });
    try {
      expect(await refusal(`${plain.url()}?sslmode=verify-full`)).toMatch(/has no TLS\. Turn it on there \(ssl = on\)/);
    } finally {
      await plain.stop();
    }
  });

  it('has a certificate that nobody we trust signed, or that is for another host', async () => {
    const other = join(folder, 'other-ca.pem');
    expect(await refusal(at({ host: 'localhost', query: `?sslmode=verify-full&sslrootcert=${other}` }))).toMatch(
      /The certificate of PostgreSQL at localhost:\d+ is not trusted \(\w+\)\. Name the one that signed it with sslrootcert/,
    );
    expect(await refusal(at({ host: 'localhost', query: '?sslmode=verify-full' }))).toMatch(/is not trusted/);
    writeFileSync(join(server.dataDir, 'tls.pem'), certificates.wrongHost.cert);
    writeFileSync(join(server.dataDir, 'tls.key'), certificates.wrongHost.key);
    await server.stopFast();
    await server.start();
    const trusted = at({ host: 'localhost', query: `?sslmode=verify-full&sslrootcert=${join(folder, 'ca.pem')}` });
    expect(await refusal(trusted)).toMatch(/is for another host\. Name the host that it is for/);
    writeFileSync(join(server.dataDir, 'tls.pem'), certificates.good.cert);
    writeFileSync(join(server.dataDir, 'tls.key'), certificates.good.key);
    await server.stopFast();
    await server.start();
  });

  it('has no connection left', async () => {
    expect(await refusal(at({ user: 'crowded' }))).toMatch(
      /has no connection left \(.*\)\. Raise its max_connections, lower POSTHORN_DATABASE_POOL_SIZE, or put PgBouncer/,
    );
  });

  it('has another encoding', async () => {
    expect(await refusal(at({ database: 'latin' }))).toMatch(
      /has the encoding LATIN1; Posthorn needs UTF8\. Make another one: createdb .* -E UTF8 -T template0 latin\.$/,
    );
  });

  it('takes no writes', async () => {
    await server.query('CREATE DATABASE frozen');
    await server.query('ALTER DATABASE frozen SET default_transaction_read_only = on');
    expect(await refusal(at({ database: 'frozen' }))).toMatch(
      /is read-only for postgres\. Undo it: ALTER DATABASE "frozen"/,
    );
  });

  it('has a schema with somebody else’s tables', async () => {
    await server.query('CREATE DATABASE shared');
    await server.query(
      'CREATE TABLE users (id int); CREATE SCHEMA other; CREATE TABLE other.migrations (id int)',
      'shared',
    );
    for (const [schema, stranger] of [
      ['public', 'users'],
      ['other', 'migrations'],
    ] as const) {
      for (const migrate of [true, false]) {
        expect(await refusal(at({ database: 'shared' }), { schema, migrate })).toBe(
          `The schema "${schema}" of the database is not Posthorn's: it holds "${stranger}". Name another one with POSTHORN_DATABASE_SCHEMA.`,
        );
      }
    }
  });

  it('is not migrated', async () => {
    await server.query('CREATE DATABASE empty');
    expect(await refusal(at({ database: 'empty' }), { migrate: false })).toMatch(
      /^The schema "posthorn" of the database needs \d+ migrations?: run `posthorn migrate` first\.$/,
    );
  });

  it('refuses rights, and each message names the one that is missing', async () => {
    await server.query('CREATE DATABASE guarded');
    const url = at({ database: 'guarded', user: 'guest' });
    const allow = (sql: string): Promise<unknown> => server.query(sql, 'guarded');
    await allow('REVOKE CONNECT ON DATABASE guarded FROM PUBLIC');
    expect(await refusal(url)).toMatch(/GRANT CONNECT ON DATABASE "guarded" TO "guest"/);
    await allow('GRANT CONNECT ON DATABASE guarded TO guest');
    expect(await refusal(url)).toMatch(/CREATE SCHEMA "posthorn" AUTHORIZATION "guest"/);

    const owner = new Connections({
      ...{ url: at({ database: 'guarded' }), schema: 'posthorn', poolSize: 2, statementTimeoutMs: 5_000 },
      onFault: () => undefined,
    });
    await prepareDatabase(owner, { migrate: true });
    await owner.end();
    expect(await refusal(url, { migrate: false })).toMatch(/GRANT USAGE ON SCHEMA "posthorn" TO "guest"/);
    await allow('GRANT USAGE ON SCHEMA posthorn TO guest');
    expect(await refusal(url, { migrate: false })).toMatch(/GRANT .*SELECT.* ON "posthorn"\."migrations" TO "guest"/);
    await allow('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA posthorn TO guest');
    await allow('REVOKE DELETE ON posthorn.open_deliveries FROM guest');
    expect(await refusal(url, { migrate: false })).toMatch(/GRANT DELETE ON "posthorn"\."open_deliveries" TO "guest"/);
    await allow('GRANT DELETE ON posthorn.open_deliveries TO guest');
    expect(await refusal(url, { migrate: false })).toMatch(
      /GRANT "postgres" TO "guest"; docs\/postgres\.md lists all grants/,
    );
  });

  it('is a standby', async () => {
    const primary = await startPostgres();
    await primary.stopFast();
    const standby = await startPostgres({
      copyOf: primary.dataDir,
      prepare: (dataDir) => {
        writeFileSync(join(dataDir, 'standby.signal'), '');
      },
    });
    try {
      expect(await refusal(standby.url())).toBe(
        `PostgreSQL at 127.0.0.1:${standby.port} is a read-only standby. Name the primary in POSTHORN_DATABASE_URL, or promote this one.`,
      );
    } finally {
      await standby.stop();
      await primary.stop();
    }
  });

  it('is too old', () => {
    const place = { address: 'db:5432', host: 'db', port: 5432, user: 'me', database: 'x', schema: 'posthorn' };
    const facts = { version: 130_018, encoding: 'UTF8', isStandby: false, isReadOnly: false };
    expect(objectionTo(facts, place)).toMatch(/^PostgreSQL at db:5432 is version 13; Posthorn needs 14 or later\./);
    expect(objectionTo({ ...facts, version: 140_000 }, place)).toBeNull();
  });

  it('is reached through TLS whose certificate is checked', async () => {
    const ca = join(folder, 'with space', 'ca.pem');
    mkdirSync(join(folder, 'with space'));
    writeFileSync(ca, certificates.ca);
    for (const host of ['localhost', '127.0.0.1']) {
      const query = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`;
      const connections = new Connections({
        ...{ url: parseDatabaseUrl(at({ user: 'encrypted', host, query }))!, schema: 'posthorn' },
        ...{ poolSize: 2, statementTimeoutMs: 5_000, onFault: () => undefined },
      });
      const { rows } = await connections.query<{ ssl: boolean }>({
        sql: 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
        parameters: [],
      });
      await connections.end();
      expect({ host, rows }).toEqual({ host, rows: [{ ssl: true }] });
    }
  });
});
