/** The hash of an HMAC. */
export type HashName = 'sha256' | 'sha384' | 'sha512';

/** A wire format that comes with Posthorn. */
export type FormatName = 'standard' | 'standard-ed25519' | 'grantex' | 'grantiva' | 'gravv' | 'lexigram';

/** Lexigram with another hash or other header names, as its sender was set up. */
export interface LexigramFormat {
  name: 'lexigram';
  /** Default `sha256`. */
  algorithm?: HashName;
  /** In any letter case. The time is not signed, so nothing here reads it. */
  headers?: { signature?: string; eventType?: string; eventId?: string; timestamp?: string };
}

/** How one signature of a format is made and where it stands. */
export interface Scheme {
  readonly header: string;
  readonly algorithm: HashName | 'ed25519';
  readonly encoding: 'hex' | 'base64';
  /** What stands before each signature in the header. */
  readonly prefix: string;
  /** `whsec`: base64 behind a prefix; `text`: its UTF-8 bytes; `key`: an ed25519 key. */
  readonly secret: 'whsec' | 'text' | 'key';
  /** Headers whose values, each with a full stop behind it, are signed before the body. */
  readonly signedHeaders: readonly string[];
  /** The one of them that holds the Unix time of the attempt. */
  readonly timeHeader: string | null;
  /** False: the header is a list while secrets rotate. True: the other signatures are in `<header>-Alternate`. */
  readonly hasAlternate: boolean;
}

/** A format: its signatures, all of which must be right, and where the facts of the event stand. */
export interface Format {
  readonly name: FormatName;
  readonly schemes: readonly Scheme[];
  /** Headers that name the event's id and type, where its body does not. */
  readonly idHeader: string | null;
  readonly typeHeader: string | null;
  /** Members of the body that do; `data: null` = the body is the payload. */
  readonly members: {
    readonly id?: string;
    readonly type?: string;
    readonly occurredAt?: string;
    readonly data: string | null;
  };
}

function standard(algorithm: 'sha256' | 'ed25519'): Format {
  return {
    name: algorithm === 'sha256' ? 'standard' : 'standard-ed25519',
    schemes: [
      {
        header: 'webhook-signature',
        algorithm,
        encoding: 'base64',
        prefix: algorithm === 'sha256' ? 'v1,' : 'v1a,',
        secret: algorithm === 'sha256' ? 'whsec' : 'key',
        signedHeaders: ['webhook-id', 'webhook-timestamp'],
        timeHeader: 'webhook-timestamp',
        hasAlternate: false,
      },
    ],
    idHeader: 'webhook-id',
    typeHeader: null,
    members: { type: 'type', occurredAt: 'timestamp', data: 'data' },
  };
}

/** Hex over the body alone, the scheme of most products. */
export function bodySignature(header: string, prefix: string, algorithm: HashName = 'sha256'): Scheme {
  return {
    ...{ header, prefix, algorithm, encoding: 'hex', secret: 'text' },
    ...{ signedHeaders: [], timeHeader: null, hasAlternate: true },
  };
}

function lexigram({ algorithm = 'sha256', headers = {} }: LexigramFormat): Format {
  return {
    name: 'lexigram',
    schemes: [bodySignature(headers.signature ?? 'X-Webhook-Signature', `${algorithm}=`, algorithm)],
    idHeader: headers.eventId ?? 'X-Webhook-Event-ID',
    typeHeader: headers.eventType ?? 'X-Webhook-Event-Type',
    members: { data: null },
  };
}

const formats: Readonly<Record<FormatName, Format>> = {
  standard: standard('sha256'),
  'standard-ed25519': standard('ed25519'),
  grantex: {
    name: 'grantex',
    schemes: [
      bodySignature('X-Grantex-Signature', 'sha256='),
      {
        ...bodySignature('X-Grantex-Signature-V2', 'sha256='),
        signedHeaders: ['X-Grantex-Timestamp'],
        timeHeader: 'X-Grantex-Timestamp',
      },
    ],
    idHeader: null,
    typeHeader: null,
    members: { id: 'id', type: 'type', occurredAt: 'createdAt', data: 'data' },
  },
  grantiva: {
    name: 'grantiva',
    schemes: [bodySignature('X-Grantiva-Signature', 'sha256=')],
    idHeader: null,
    typeHeader: null,
    members: { type: 'event', occurredAt: 'timestamp', data: 'data' },
  },
  gravv: {
    name: 'gravv',
    schemes: [bodySignature('X-Gravv-Signature', '')],
    idHeader: null,
    typeHeader: null,
    members: { id: 'event_id', type: 'event_type', occurredAt: 'timestamp', data: 'event_data' },
  },
  lexigram: lexigram({ name: 'lexigram' }),
};

const hashNames: readonly unknown[] = ['sha256', 'sha384', 'sha512'];

/** The format meant, or what is wrong with what was given. */
export function findFormat(given: FormatName | LexigramFormat): Format | string {
  if (typeof given === 'string') {
    if (Object.hasOwn(formats, given)) return formats[given];
    const names = Object.keys(formats).join(', ');
    return `format: ${JSON.stringify(String(given).slice(0, 40))} is unknown; use one of ${names}.`;
  }
  const { name, algorithm, headers } = (given as LexigramFormat | null) ?? ({} as Partial<LexigramFormat>);
  if ((name as unknown) !== 'lexigram') return 'format: an object must have the name "lexigram".';
  if (algorithm !== undefined && !hashNames.includes(algorithm)) {
    return `format.algorithm: use one of ${hashNames.join(', ')}.`;
  }
  const isBad = Object.values(headers ?? {}).some(
    (header: unknown) => header !== undefined && typeof header !== 'string',
  );
  return isBad ? 'format.headers: names of headers are text.' : lexigram(given);
}
