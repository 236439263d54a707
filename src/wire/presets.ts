import type { CustomFormat, SignatureSpec } from './schema.ts';

/** `sha256=<hex>` over the body, the scheme that most one-value receivers compare. */
function bodySignature(header: string): SignatureSpec {
  return { header, algorithm: 'hmac-sha256', encoding: 'hex', value: 'sha256={signature}', signed: '{body}' };
}

/** Standard Webhooks 1.0.0, https://www.standardwebhooks.com, with its recommended payload structure. */
const standard: CustomFormat = {
  body: { type: '{event.type}', timestamp: '{event.occurredAt}', data: '{event.data}' },
  headers: { 'webhook-id': '{event.id}', 'webhook-timestamp': '{attempt.at.unix}' },
  signatures: [
    {
      header: 'webhook-signature',
      algorithm: 'hmac-sha256',
      encoding: 'base64',
      value: 'v1,{signature}',
      signed: '{event.id}.{attempt.at.unix}.{body}',
      secretEncoding: 'whsec',
      rotation: 'list',
      separator: ' ',
    },
  ],
};

/** The formats that come with the product: data, compiled by the same code as those that users declare. */
export const presets: Readonly<Record<string, CustomFormat>> = {
  standard,
  /** The same with the public-key signatures of that standard, so that receivers hold no secret. */
  'standard-ed25519': {
    ...standard,
    signatures: standard.signatures.map((signature) => ({
      ...signature,
      algorithm: 'ed25519',
      value: 'v1a,{signature}',
      secretEncoding: 'whsk',
    })),
  },
  grantex: {
    body: { id: '{event.id}', type: '{event.type}', createdAt: '{event.occurredAt}', data: '{event.data}' },
    headers: { 'X-Grantex-Timestamp': '{attempt.at.unix}' },
    signatures: [
      bodySignature('X-Grantex-Signature'),
      {
        header: 'X-Grantex-Signature-V2',
        algorithm: 'hmac-sha256',
        encoding: 'hex',
        value: 'sha256={signature}',
        signed: '{attempt.at.unix}.{body}',
      },
    ],
  },
  /**
   * `compact`, because receivers of this format hash the payload they parsed and wrote again. Times in whole seconds,
   * because the ISO 8601 decoder of Swift, which many of them are written in, knows no fractions.
   */
  grantiva: {
    body: { event: '{event.type}', timestamp: '{event.occurredAt.isoSeconds}', data: '{event.data}' },
    json: 'compact',
    headers: { 'X-Grantiva-Event': '{event.type}', 'X-Grantiva-Delivery': '{delivery.uuid}' },
    signatures: [bodySignature('X-Grantiva-Signature')],
  },
  gravv: {
    body: {
      event_id: '{event.uuid}',
      tenant_id: '{tenant.id}',
      timestamp: '{event.occurredAt}',
      event_data: '{event.data}',
      event_type: '{event.type}',
      event_category: '{event.category}',
      event_group_id: '{event.group}',
    },
    signatures: [{ header: 'X-Gravv-Signature', algorithm: 'hmac-sha256', encoding: 'hex', signed: '{body}' }],
  },
  /** `minified`, not `compact`: no white space, yet 12345678901234567890 and 1.0 arrive as they were published. */
  lexigram: {
    body: '{event.data}',
    json: 'minified',
    headers: {
      'X-Webhook-Event-Type': '{event.type}',
      'X-Webhook-Event-ID': '{event.id}',
      'X-Webhook-Timestamp': '{attempt.at}',
    },
    signatures: [bodySignature('X-Webhook-Signature')],
    newSecret: 'hex',
  },
};
