/**
 * What it costs a receiver to verify one request with sdk/typescript: a `Webhook` made once, and `verifyWebhook`, which
 * reads the secret each time; for a body of 1 KiB unless said, in every format, and refusing beside accepting.
 *
 *   node bench/verify.ts [bytes = 1024]
 */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { verifyWebhook, verifyWebhookAsync, Webhook, type FormatName } from '../sdk/typescript/src/index.ts';
import { prepareAlone } from '../sdk/typescript/src/verify/check.ts';
import { verifyWith } from '../sdk/typescript/src/verify/verify.ts';

const bytes = Number(process.argv[2] ?? 1024);
const now = Date.UTC(2026, 0, 15);
const unix = String(now / 1000);
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const whpk = `whpk_${Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url').toString('base64')}`;

const start = '{"type":"order.paid","timestamp":"2026-01-15T00:00:00.000Z","data":{"text":"';
const body = Buffer.from(`${start}${'x'.repeat(Math.max(0, bytes - start.length - 3))}"}}`);
const changed = Buffer.from(body);
changed[changed.length - 10] = 0x79;
/** Beside those of the format, what a request behind a proxy has. */
const usual = Object.fromEntries(
  ['host', 'user-agent', 'accept', 'connection', 'content-length', 'x-forwarded-for', 'x-forwarded-proto', 'via'].map(
    (name) => [name, 'some value'],
  ),
);

function hmac(key: string | Buffer, before: string): Buffer {
  return createHmac('sha256', key).update(before).update(body).digest();
}

const hex = (before = ''): string => hmac(secret, before).toString('hex');
const ids = { 'webhook-id': 'evt_1', 'webhook-timestamp': unix };
const headersOf: Record<FormatName, Record<string, string>> = {
  standard: {
    ...ids,
    'webhook-signature': `v1,${hmac(Buffer.alloc(32, 7), `evt_1.${unix}.`).toString('base64')}`,
  },
  'standard-ed25519': {
    ...ids,
    'webhook-signature': `v1a,${sign(null, Buffer.concat([Buffer.from(`evt_1.${unix}.`), body]), privateKey).toString('base64')}`,
  },
  grantex: {
    'x-grantex-timestamp': unix,
    'x-grantex-signature': `sha256=${hex()}`,
    'x-grantex-signature-v2': `sha256=${hex(`${unix}.`)}`,
  },
  grantiva: { 'x-grantiva-signature': `sha256=${hex()}` },
  gravv: { 'x-gravv-signature': hex() },
  lexigram: { 'x-webhook-signature': `sha256=${hex()}` },
};

/** The median of nine rounds, µs for one call. */
async function microseconds(run: () => unknown): Promise<string> {
  const rounds: number[] = [];
  let calls = 1;
  for (let round = -1; round < 9; round++) {
    const startedAt = performance.now();
    if (run() instanceof Promise) for (let i = 0; i < calls; i++) await run();
    else for (let i = 0; i < calls; i++) run();
    const tookMs = performance.now() - startedAt;
    if (round >= 0) rounds.push((tookMs / (calls + 1)) * 1000);
    calls = Math.max(50, Math.min(20_000, Math.round((calls * 30) / tookMs)));
  }
  return rounds.sort((a, b) => a - b)[4]!.toFixed(1);
}

const rows: string[][] = [];
for (const [format, own] of Object.entries(headersOf) as [FormatName, Record<string, string>][]) {
  const headers = { ...usual, ...own };
  const key = format === 'standard-ed25519' ? whpk : secret;
  const webhook = new Webhook(key, { format });
  const input = { payload: body, headers, secret: key, format, now };
  if (!webhook.verify(body, headers, now).ok) throw new Error(`${format} does not verify`);
  rows.push([
    format,
    await microseconds(() => webhook.verify(body, headers, now)),
    await microseconds(() => webhook.verify(changed, headers, now)),
    await microseconds(() => verifyWebhook(input)),
    await microseconds(() => verifyWebhookAsync(input)),
    key === whpk ? '–' : await microseconds(() => verifyWith(prepareAlone, input)),
  ]);
}
const columns = ['format', 'Webhook', 'refusing', 'verifyWebhook', 'WebCrypto', 'JavaScript alone'];
console.log(`µs for one request of ${body.length} bytes\n`);
console.log([columns, ...rows].map((row) => row.map((cell) => cell.padStart(17)).join('')).join('\n'));
