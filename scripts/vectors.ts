// Writes spec/vectors/<preset>.json, which every verifier's tests read: requests as they arrive, and what to say to each.
// `node scripts/vectors.ts` writes them; `--check` fails when one is stale.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefixes, toUuid } from '../src/model/id.ts';
import { compileWireFormat, presetNames, verify } from '../src/wire/wire.ts';
import type { Message, Stamp, WireFormat } from '../src/wire/wire.ts';

type Headers = Record<string, string | string[]>;
type Code = 'missing_header' | 'bad_header' | 'no_match' | 'too_old' | 'too_new' | 'bad_secret';

/** One request as a receiver gets it. `signed` says what it was made from, where nothing was changed on the way. */
interface Vector {
  title: string;
  expected: 'ok' | Code;
  /** Why it does not match, where a verifier can find out: the JSON without its white space would. */
  hint?: 'body_reserialised';
  signed?: { secrets: string[]; message: Message; stamp: Stamp };
  request: { headers: Headers; body: string };
  /** What the receiver holds: secrets, or public keys. */
  secrets: string[];
  /** Epoch ms at the receiver. */
  now: number;
  toleranceSeconds: number;
}

const OCCURRED_AT = Date.UTC(2026, 0, 15, 9, 30, 0, 250);
const NOW = Date.UTC(2026, 0, 15, 9, 30, 1, 500);
const TOLERANCE_SECONDS = 300;
const HOUR = 3_600_000;

const eventId = '01KF0Z7J3TE5XAY2V8N4R6M0QC';
const deliveryId = '01KF0Z7J47F2M9WQ3C6T8B5000';

const message: Message = {
  id: prefixes.event + eventId,
  uuid: toUuid(eventId),
  type: 'grant.created',
  data: '{"grantId":"grnt_01","scopes":["calendar:read","mail:send"],"amount":1050,"expiresAt":"2026-12-26T12:00:00Z"}',
  occurredAt: OCCURRED_AT,
  tenantId: 'default',
  category: null,
  group: 'grnt_01',
  source: null,
};
const stamp: Stamp = {
  deliveryId: prefixes.delivery + deliveryId,
  deliveryUuid: toUuid(deliveryId),
  attemptNumber: 1,
  now: NOW,
};

const base64 = (bytes: Buffer | string): string => Buffer.from(bytes).toString('base64');
const seedOf = (letter: string): Buffer => Buffer.from(letter.repeat(32));

/** A secret of a preset's shape, the same for the same letter. An ed25519 one is its seed and its public key. */
function secretOf(name: string, letter: string): string {
  if (name === 'lexigram') return seedOf(letter).toString('hex');
  if (name !== 'standard-ed25519') return `whsec_${base64(seedOf(letter))}`;
  const publicKey = compileWireFormat(name).publicKey(`whsk_${base64(seedOf(letter))}`)!;
  return `whsk_${base64(Buffer.concat([seedOf(letter), Buffer.from(publicKey.slice('whpk_'.length), 'base64')]))}`;
}

/** Makes vectors of one preset. Its receivers hold the present secret, or its public key. */
class Maker {
  readonly name: string;
  readonly format: WireFormat;
  readonly present: string;
  readonly previous: string;
  /** Of secrets that signed nothing. */
  readonly others: string[];
  readonly header: string;

  constructor(name: string) {
    this.name = name;
    this.format = compileWireFormat(name);
    this.present = secretOf(name, 'n');
    this.previous = secretOf(name, 'p');
    this.others = ['x', 'y'].map((letter) => this.held(secretOf(name, letter)));
    const product = { lexigram: 'Webhook' }[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
    this.header = this.isStandard ? 'webhook-signature' : `X-${product}-Signature`;
  }

  get isStandard(): boolean {
    return this.name.startsWith('standard');
  }

  /** What stands before each signature in the header. */
  get prefix(): string {
    return { standard: 'v1,', 'standard-ed25519': 'v1a,', gravv: '' }[this.name] ?? 'sha256=';
  }

  /** What a receiver holds of a secret. */
  held(secret: string): string {
    return this.format.publicKey(secret) ?? secret;
  }

  /** The headers of an attempt. The user agent changes with every release, and no receiver reads it. */
  headers(body: string, secrets: string[], sent = message, when = stamp): Headers {
    const keys = secrets.map((secret) => this.format.key(secret));
    const flat = this.format.headers(sent, Buffer.from(body), keys, when, null);
    const headers: Headers = {};
    for (let i = 0; i < flat.length; i += 2) headers[flat[i]!] = flat[i + 1]!;
    delete headers['User-Agent'];
    return headers;
  }

  /** A request as the sender makes it. */
  good(title: string, change: Partial<Message> = {}, at: Partial<Stamp> = {}, secrets = [this.present]): Vector {
    const sent = { ...message, ...change };
    const when = { ...stamp, ...at };
    const body = this.format.body(sent).toString();
    return {
      title,
      expected: 'ok',
      signed: { secrets, message: sent, stamp: when },
      request: { headers: this.headers(body, secrets, sent, when), body },
      secrets: [this.held(this.present)],
      now: when.now,
      toleranceSeconds: TOLERANCE_SECONDS,
    };
  }

  /** A request that something happened to on the way, or whose receiver is another. */
  changed(title: string, expected: Vector['expected'], change: (vector: Vector) => unknown): Vector {
    const vector = structuredClone(this.good(title));
    delete vector.signed;
    vector.expected = expected;
    change(vector);
    return vector;
  }

  /** The signature header with something else in it; `change` gets its value. */
  resigned(title: string, expected: Vector['expected'], change: (value: string) => string | string[]): Vector {
    return this.changed(title, expected, ({ request }) => {
      request.headers[this.header] = change(request.headers[this.header] as string);
    });
  }

  rewritten(title: string, expected: Vector['expected'], change: (body: string) => string): Vector {
    return this.changed(title, expected, ({ request }) => (request.body = change(request.body)));
  }

  /** Any body at all, signed as it is. */
  raw(title: string, body: string): Vector {
    return this.changed(title, 'ok', ({ request }) => {
      request.body = body;
      request.headers = this.headers(body, [this.present]);
    });
  }

  rotated(title: string, attemptNumber: number, secrets: string[], live = [this.present, this.previous]): Vector {
    return { ...this.good(title, {}, { attemptNumber }, live), secrets };
  }
}

/** Writes the JSON again as many clients would, with a space behind each comma and colon. */
function respaced(body: string): string {
  return JSON.stringify(JSON.parse(body), null, 1).replace(/\n */g, ' ');
}

function reordered(body: string): string {
  return JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body) as object).reverse()));
}

function requestVectors(make: Maker): Vector[] {
  return [
    make.good('a request as sent'),
    make.good('text outside ASCII, and characters that JSON escapes', {
      data: '{"name":"Zoë 🦊","path":"a\\\\b","line":"1\\n2","escaped":"\\u00e9\\ud83e\\udd8a","separator":"\u2028"}',
    }),
    make.good('empty data', { data: '{}' }),
    make.good('data that is null', { data: 'null' }),
    make.good('data with white space and numbers in other spellings', {
      data: '{ "b" : 1.0, "a" :\n 12345678901234567890, "e": 1E2, "text": "two  spaces" }',
    }),
    make.good('no group, own category', { group: null, category: 'billing' }),
    make.good('a later attempt, with a time of its own', {}, { attemptNumber: 4, now: NOW + HOUR }),
    make.changed('header names in lower case, as many servers give them', 'ok', ({ request }) => {
      const entries = Object.entries(request.headers);
      request.headers = Object.fromEntries(entries.map(([header, value]) => [header.toLowerCase(), value]));
    }),
    make.raw('an empty body, signed as it is', ''),
    make.raw('a body that is not JSON, signed as it is', 'grant=grnt_01&name=Zoë 🦊'),
    make.rewritten('an empty body under the signature of a full one', 'no_match', () => ''),
    make.rewritten('a byte of the body changed', 'no_match', (body) => body.replace('grnt_01', 'grnt_02')),
    make.rewritten('a body cut short', 'no_match', (body) => body.slice(0, -1)),
    make.rewritten('a line break behind the body', 'no_match', (body) => `${body}\n`),
    make.rewritten('the body parsed and written again with spaces', 'no_match', respaced),
    make.rewritten('the body parsed and written again with indentation', 'no_match', (body) =>
      JSON.stringify(JSON.parse(body), null, 2),
    ),
    make.rewritten('the body parsed and written again in another order', 'no_match', reordered),
  ];
}

function secretVectors(make: Maker): Vector[] {
  const { present, previous, others } = make;
  const [one, two] = [make.held(present), make.held(previous)];
  const other = others[0]!;
  const holding = (title: string, expected: Vector['expected'], secrets: string[]): Vector =>
    make.changed(title, expected, (vector) => (vector.secrets = secrets));
  return [
    holding('another secret', 'no_match', [other]),
    holding('the right secret among several', 'ok', [other, one]),
    holding('several secrets, none right', 'no_match', others),
    holding('no secret at all', 'bad_secret', []),
    holding('an empty secret', 'bad_secret', ['']),
    make.rotated('rotation, first attempt, receiver has the previous secret', 1, [two]),
    make.rotated('rotation, first attempt, receiver has the present secret', 1, [one]),
    make.rotated('rotation, second attempt, receiver has the previous secret', 2, [two]),
    make.rotated('rotation, second attempt, receiver has the present secret', 2, [one]),
    make.rotated('rotation, receiver has both secrets', 1, [one, two]),
    { ...make.rotated('rotation, receiver has neither secret', 1, [other]), expected: 'no_match' },
    ...['newest', 'middle', 'oldest'].map((which, i) => {
      const live = [present, previous, secretOf(make.name, 'b')];
      return make.rotated(`rotation twice in a day, receiver has the ${which} secret`, 1, [make.held(live[i]!)], live);
    }),
  ];
}

function signatureVectors(make: Maker): Vector[] {
  const { header, prefix } = make;
  const longer = make.isStandard ? 'AAAA' : 'ab';
  const foreign = (value: string): string => prefix + '*'.repeat(value.length - prefix.length);
  const vectors = [
    make.changed('the signature header missing', 'missing_header', ({ request }) => delete request.headers[header]),
    make.resigned('the signature header twice', 'bad_header', (value) => [value, value]),
    make.resigned('the signature header twice, joined as servers do', 'bad_header', (value) => `${value}, ${value}`),
    make.resigned('the signature header empty', 'bad_header', () => ''),
    make.resigned('a signature cut short', 'no_match', (value) => value.slice(0, -2)),
    make.resigned('a signature with something behind it', 'no_match', (value) => value + longer),
    make.resigned('a signature of twice the length', 'no_match', (value) => value + value.slice(prefix.length)),
    make.resigned('a signature of other characters than there can be', 'no_match', foreign),
  ];
  if (prefix !== '') vectors.push(make.resigned('a signature of no characters', 'bad_header', () => prefix));
  if (make.isStandard) return vectors;
  if (prefix !== '') {
    const sha512 = (value: string): string => value.replace(prefix, 'sha512=');
    vectors.push(make.resigned('a signature of another kind', 'bad_header', sha512));
  }
  vectors.push(
    make.resigned('a signature in upper case', 'no_match', (v) => prefix + v.slice(prefix.length).toUpperCase()),
  );
  const lost = (title: string, expected: Vector['expected'], secret: string): Vector => {
    const vector = make.rotated(title, 1, [make.held(secret)]);
    delete vector.signed;
    for (const name of Object.keys(vector.request.headers)) {
      if (name.endsWith('-Alternate')) delete vector.request.headers[name];
    }
    return { ...vector, expected };
  };
  const title = 'rotation, first attempt, the other signature lost, receiver has the';
  vectors.push(lost(`${title} previous secret`, 'ok', make.previous));
  vectors.push(lost(`${title} present secret`, 'no_match', make.present));
  return vectors;
}

function timeVectors(make: Maker): Vector[] {
  const at = (title: string, expected: Vector['expected'], now: number): Vector =>
    make.changed(title, expected, (vector) => (vector.now = now));
  const header = { grantex: 'X-Grantex-Timestamp' }[make.name] ?? (make.isStandard ? 'webhook-timestamp' : null);
  if (header === null) {
    const why = 'which this format cannot tell: it signs no time';
    return [at(`an hour old, ${why}`, 'ok', NOW + HOUR), at(`an hour ahead, ${why}`, 'ok', NOW - HOUR)];
  }
  const timed = (title: string, expected: Vector['expected'], time: string | string[]): Vector =>
    make.changed(title, expected, ({ request }) => (request.headers[header] = time));
  const seconds = String(Math.floor(NOW / 1000));
  return [
    at('an hour old', 'too_old', NOW + HOUR),
    at('as old as may be', 'ok', NOW + TOLERANCE_SECONDS * 1000),
    at('a second older than may be', 'too_old', NOW + (TOLERANCE_SECONDS + 1) * 1000),
    at('an hour ahead', 'too_new', NOW - HOUR),
    at('as far ahead as may be', 'ok', Math.floor(NOW / 1000) * 1000 - TOLERANCE_SECONDS * 1000),
    at('a second further ahead than may be', 'too_new', NOW - (TOLERANCE_SECONDS + 1) * 1000),
    make.changed('no time', 'missing_header', ({ request }) => delete request.headers[header]),
    timed('a time that is no number', 'bad_header', `${seconds}abc`),
    timed('a negative time', 'bad_header', `-${seconds}`),
    timed('the time twice', 'bad_header', [seconds, seconds]),
    timed('another time than the one signed', 'no_match', String(Number(seconds) + 1)),
  ];
}

/** What only Standard Webhooks has: lists of signatures of several versions, and an id that is signed. */
function standardVectors(make: Maker): Vector[] {
  const { prefix, others } = make;
  const sibling = new Maker(make.name === 'standard' ? 'standard-ed25519' : 'standard');
  const body = make.format.body(message).toString();
  const otherKind = sibling.headers(body, [sibling.present])[sibling.header] as string;
  const holding = (title: string, expected: Vector['expected'], secret: string): Vector =>
    make.changed(title, expected, (vector) => (vector.secrets = [secret]));
  const held = make.held(make.present);
  return [
    make.resigned('several signatures, of other versions too', 'ok', (value) => {
      return `${sibling.prefix}c2lnbmF0dXJl v2,c2lnbmF0dXJl ${prefix}d3Jvbmc= ${value}`;
    }),
    make.resigned('a signature of each kind, v1 and v1a', 'ok', (value) => `${otherKind} ${value}`),
    make.resigned('several signatures, with text between them that is none', 'ok', (value) => {
      return `v1 v1a v3,a,b nonsense ${value} =`;
    }),
    make.resigned('several signatures, none right', 'no_match', () => `${prefix}d3Jvbmc= ${prefix}d3Jvbmcy`),
    make.resigned('the right signature under another version', 'bad_header', (value) => {
      return value.replace(prefix, sibling.prefix);
    }),
    make.resigned('a good signature of the other kind alone', 'bad_header', () => otherKind),
    make.changed('another id', 'no_match', ({ request }) => (request.headers['webhook-id'] = 'evt_other')),
    make.changed('no id', 'missing_header', ({ request }) => delete request.headers['webhook-id']),
    holding('a secret that is not base64', 'bad_secret', `${held.slice(0, held.indexOf('_') + 1)}not*base64`),
    holding('a secret that is too short', 'bad_secret', `${held.slice(0, held.indexOf('_') + 1)}c2hvcnQ=`),
    holding('a secret of the other kind', 'bad_secret', sibling.held(sibling.present)),
    ...(make.name === 'standard' ? sharedSecretVectors() : keyPairVectors()),
  ];

  function sharedSecretVectors(): Vector[] {
    return [holding('the secret without its prefix', 'ok', held.replace('whsec_', ''))];
  }

  function keyPairVectors(): Vector[] {
    const [publicKey, otherKey] = [held, others[0]!].map((key) => Buffer.from(key.slice('whpk_'.length), 'base64'));
    const seed = seedOf('n');
    return [
      holding('the secret key instead of the public one', 'ok', make.present),
      holding('the secret key as a seed alone', 'ok', `whsk_${base64(seed)}`),
      holding('a secret key whose halves are of two pairs', 'bad_secret', secretKey(seed, otherKey!)),
      holding('a public key without its prefix, which could be a seed as well', 'bad_secret', base64(publicKey!)),
      holding('a public key that is too long', 'bad_secret', `whpk_${base64(Buffer.concat([publicKey!, publicKey!]))}`),
    ];
  }

  function secretKey(seed: Buffer, publicKey: Buffer): string {
    return `whsk_${base64(Buffer.concat([seed, publicKey]))}`;
  }
}

/** What only one format has. */
function ownVectors(make: Maker): Vector[] {
  if (make.isStandard) return standardVectors(make);
  if (make.name === 'grantex') {
    const second = 'X-Grantex-Signature-V2';
    return [
      make.changed('the second signature missing', 'missing_header', ({ request }) => delete request.headers[second]),
      make.changed('the second signature made with another secret', 'no_match', ({ request }) => {
        request.headers[second] = make.headers(request.body, [make.others[0]!])[second]!;
      }),
    ];
  }
  if (make.name === 'grantiva') {
    const again = (body: string): string => JSON.stringify(JSON.parse(body));
    return [make.rewritten('the body parsed and written again by JSON.stringify', 'ok', again)];
  }
  return [];
}

/** Marks what verifies as soon as the white space between the tokens is gone. */
function withHint(name: string, vector: Vector): Vector {
  const { expected, request, title, ...rest } = vector;
  if (expected !== 'no_match' || request.body === '' || !isJson(request.body)) return vector;
  const body = JSON.stringify(JSON.parse(request.body));
  if (body === request.body || !verify({ format: name, ...rest, ...request, body }).ok) return vector;
  return { title, expected, hint: 'body_reserialised', request, ...rest };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const folder = join(import.meta.dirname, '..', 'spec', 'vectors');
const check = process.argv.includes('--check');
mkdirSync(folder, { recursive: true });
for (const name of presetNames) {
  const file = join(folder, `${name}.json`);
  const make = new Maker(name);
  const vectors = [requestVectors, secretVectors, signatureVectors, timeVectors, ownVectors].flatMap((of) => of(make));
  const content = { format: name, vectors: vectors.map((vector) => withHint(name, vector)) };
  const text = `{"generated":"by scripts/vectors.ts; do not edit",\n${JSON.stringify(content, null, 2).slice(2)}\n`;
  if (!check) {
    writeFileSync(file, text);
  } else if (read(file) !== text) {
    console.error(`spec/vectors/${name}.json is stale; run \`node scripts/vectors.ts\`.`);
    process.exitCode = 1;
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
