import type { CustomFormat } from '../wire/wire.ts';
import { presets } from '../wire/presets.ts';
import type { PosthornOptions } from './options.ts';

export interface LexigramOptions {
  /** Hash of the signature; default `sha256`. */
  algorithm?: 'sha256' | 'sha384' | 'sha512';
  /** Header names, sent in exactly this letter case; default those of the format. */
  headers?: { signature?: string; eventType?: string; eventId?: string; timestamp?: string };
}

/**
 * The settings of a Lexigram webhook, to spread into those of {@link createPosthorn}: its wire format, 5 attempts 1, 2,
 * 4 and 8 s apart, 30 s for each, http URLs allowed, endpoints disabled after 50 failures within 24 h, 30 days of history.
 *
 *     createPosthorn({ ...lexigram({ algorithm: 'sha512' }), dataDir: './webhooks' })
 */
export function lexigram(options: LexigramOptions = {}): PosthornOptions {
  const { algorithm = 'sha256', headers = {} } = options;
  const preset = presets.lexigram!;
  const [signature] = preset.signatures;
  const wireFormat: CustomFormat = {
    ...preset,
    headers: {
      [headers.eventType ?? 'X-Webhook-Event-Type']: '{event.type}',
      [headers.eventId ?? 'X-Webhook-Event-ID']: '{event.id}',
      [headers.timestamp ?? 'X-Webhook-Timestamp']: '{attempt.at}',
    },
    signatures: [
      {
        ...signature!,
        header: headers.signature ?? signature!.header,
        algorithm: `hmac-${algorithm}`,
        value: `${algorithm}={signature}`,
      },
    ],
  };
  return {
    wireFormat,
    retry: { attempts: 5, baseDelayMs: 1_000, factor: 2, maxDelayMs: 60_000 },
    timeoutMs: 30_000,
    graceMs: 86_400_000,
    disableAfter: { failures: 50, withinMs: 86_400_000 },
    retentionDays: 30,
    allowHttp: true,
  };
}
