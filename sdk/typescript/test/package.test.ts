import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { version } from '../src/version.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = mkdtempSync(join(tmpdir(), 'posthorn-sdk-'));
let build: SpawnSyncReturns<string>;
beforeAll(() => {
  const tsc = join(root, '../../node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', dist];
  build = spawnSync(process.execPath, args, { encoding: 'utf8' });
}, 60_000);
afterAll(() => {
  rmSync(dist, { recursive: true });
});

interface Package {
  version: string;
  dependencies?: object;
  exports: Record<string, string | { types: string; default: string }>;
}
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const own = JSON.parse(read('package.json')) as Package;

it('has the version of the product, everywhere', () => {
  const product = JSON.parse(read('../../package.json')) as Package;
  expect([own.version, version]).toEqual([product.version, product.version]);
});

it('imports nothing but itself', () => {
  expect(own.dependencies).toBeUndefined();
  for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const imported = [...read(join('src', file)).matchAll(/(?:from|import\() ?'([^']+)'/g)].map(([, name]) => name!);
    expect(
      imported.filter((name) => !name.startsWith('.')),
      file,
    ).toEqual([]);
  }
});

it('builds without the types of Node, and what it exports is there', () => {
  expect([build.status, build.stdout]).toEqual([0, '']);
  const files = Object.values(own.exports).flatMap((target) =>
    typeof target === 'string' ? [] : Object.values(target),
  );
  expect(files).toHaveLength(15);
  for (const file of files) {
    // The source is there for those who work in this repository.
    const path = file.startsWith('./dist/') ? join(dist, file.replace('./dist/', '')) : join(root, file);
    expect(existsSync(path), file).toBe(true);
  }
});

it('is packed with what it needs, nothing else, and nothing of a build before', () => {
  const repository = mkdtempSync(join(tmpdir(), 'posthorn-pack-'));
  try {
    const sdk = join(repository, 'sdk/typescript');
    cpSync(root, sdk, { recursive: true });
    cpSync(join(root, '../../tsconfig.json'), join(repository, 'tsconfig.json'));
    symlinkSync(join(root, '../../node_modules'), join(repository, 'node_modules'));
    mkdirSync(join(sdk, 'dist'), { recursive: true });
    writeFileSync(join(sdk, 'dist/stale.js'), '');
    const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--offline'], { cwd: sdk, encoding: 'utf8' });
    // What the build prints stands before it.
    const [{ files }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n'))) as [
      { files: { path: string }[] },
    ];
    const paths = files.map(({ path }) => path).sort();
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
    const built = sources
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => ['.d.ts', '.js', '.js.map'].map((ending) => `dist/${file.replace(/\.ts$/, ending)}`));
    expect(paths).toEqual([...built, 'LICENSE', 'README.md', 'package.json'].sort());
  } finally {
    rmSync(repository, { recursive: true });
  }
}, 60_000);

it('verifies where there is no node:crypto, and says what ed25519 needs there', () => {
  const script = `
    process.getBuiltinModule = undefined;
    const { verifyWebhook, verifyWebhookAsync } = await import('${pathToFileURL(join(dist, 'index.js')).href}');
    const standard = {
      payload: '{"test": 2432232314}',
      headers: new Headers({
        'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        'webhook-timestamp': '1614265330',
        'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
      }),
      secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      now: 1614265330000,
    };
    const ed25519 = { ...standard, secret: 'whpk_${Buffer.alloc(32, 7).toString('base64')}', format: 'standard-ed25519' };
    const answers = [verifyWebhook(standard), verifyWebhook(ed25519), await verifyWebhookAsync(ed25519)];
    console.log(answers.map(({ ok, code }) => ok || code).join(' '));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect([stdout.trim(), stderr]).toEqual(['true unsupported bad_header', '']);
});
