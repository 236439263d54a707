import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyWebhook, verifyWebhookAsync, verifyWebhookSignature, Webhook } from '../src/index.ts';
import { prepareAlone } from '../src/verify/check.ts';
import { verifyWith } from '../src/verify/verify.ts';

const formats = ['standard', 'standard-ed25519', 'grantex', 'grantiva', 'gravv', 'lexigram'];
const secrets = [
  'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  `whpk_${'A'.repeat(43)}=`,
  `whsk_${'A'.repeat(43)}=`,
  'text',
];
const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature', 'X-Grantex-Signature', 'X-Grantex-Signature-V2']
  .concat(['X-Grantex-Timestamp', 'X-Grantiva-Signature', 'X-Gravv-Signature', 'X-Webhook-Signature'])
  .concat(['X-Grantiva-Signature-Alternate']);

// Objects that fight back, beside what fast-check thinks of.
const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error('no');
    },
    ownKeys: () => {
      throw new Error('no');
    },
  },
);
const anything = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withTypedArray: true }),
  fc.constant(hostile),
);
const headerText = fc.oneof(
  fc.string(),
  fc.base64String().map((text) => `v1,${text} v1a,${text}`),
  fc.stringMatching(/^sha256=[0-9a-f]{0,70}$/),
  fc.stringMatching(/^[0-9]{1,14}$/),
);
const headers = fc.oneof(
  anything,
  fc.dictionary(fc.constantFrom(...names), fc.oneof(headerText, fc.array(headerText), anything)),
);
const input = fc.record(
  {
    payload: fc.oneof(fc.string(), fc.json(), fc.uint8Array(), anything),
    headers,
    secret: fc.oneof(fc.constantFrom(...secrets), fc.string(), anything),
    secrets: fc.oneof(fc.array(fc.constantFrom(...secrets), { minLength: 1 }), anything),
    format: fc.oneof(fc.constantFrom(...formats), fc.constant({ name: 'lexigram', algorithm: 'sha512' }), anything),
    toleranceSeconds: fc.oneof(fc.integer(), fc.double(), anything),
    now: fc.oneof(fc.integer(), anything),
  },
  { requiredKeys: [] },
);

describe('whatever comes in', () => {
  it('verifyWebhook refuses by a value and never throws, in every runtime', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(input, anything), async (given) => {
        const results = [
          verifyWebhook(given as never),
          verifyWith(prepareAlone, given as never),
          await verifyWebhookAsync(given as never),
        ];
        for (const result of results) {
          expect(result.ok).toBe(false);
          if (!result.ok) expect(result.message.length).toBeGreaterThan(10);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('a Webhook refuses by a value and never throws', () => {
    const webhooks = [
      new Webhook(secrets[0]),
      new Webhook(secrets[1], { format: 'standard-ed25519' }),
      new Webhook('text', { format: 'grantex' }),
    ];
    fc.assert(
      fc.property(fc.oneof(fc.string(), anything), headers, fc.oneof(fc.integer(), anything), (payload, given, now) => {
        for (const webhook of webhooks) {
          expect(webhook.verify(payload as never, given as never, now as never).ok).toBe(false);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('verifyWebhookSignature is false and never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), anything),
        fc.oneof(headerText, anything),
        anything,
        (payload, given, secret) => {
          expect(verifyWebhookSignature(payload as never, given as never, secret as never)).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
