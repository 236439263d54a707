// Writes spec/vectors/<preset>.json, which every verifier's tests read: requests as they arrive, and what to say to each.
// `node scripts/vectors.ts` writes them; `--check` fails when one is stale.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefixes, toUuid } from '../src/model/id.ts';
import { compileWireFormat, presetNames } from '../src/wire/wire.ts';
import type { Message, Stamp } from '../src/wire/wire.ts';

type Headers = Record<string, string | string[]>;
type Code = 'missing_header' | 'bad_header' | 'no_match' | 'too_old' | 'too_new' | 'bad_secret';

/** One request as a receiver gets it. `signed` says what it was made from, where nothing was changed on the way. */
interface Vector {
  title: string;
  expected: 'ok' | Code;
  signed?: { secrets: string[]; message: Message; stamp: Stamp };
  request: { headers: Headers; body: string };
  secrets: string[];
  /** Epoch ms at the receiver. */
  now: number;
  toleranceSeconds: number;
}

const OCCURRED_AT = Date.UTC(2026, 0, 15, 9, 30, 0, 250);
const NOW = Date.UTC(2026, 0, 15, 9, 30, 1, 500);
const TOLERANCE_SECONDS = 300;
const HOUR = 3_600_000;

const whsec = (letter: string): string => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`;
const hex = (letter: string): string => Buffer.from(letter.repeat(32)).toString('hex');

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

/** Writes the JSON again as many clients would, with a space behind each comma and colon. */
function respaced(body: string): string {
  return JSON.stringify(JSON.parse(body), null, 1).replace(/\n */g, ' ');
}

function vectorsOf(name: string): Vector[] {
  const format = compileWireFormat(name);
  const make = name === 'lexigram' ? hex : whsec;
  const [present, previous, other] = [make('n'), make('p'), make('x')];
  const signsTime = name === 'standard' || name === 'grantex';
  const mainHeader = { standard: 'webhook-signature', lexigram: 'X-Webhook-Signature' }[name] ?? signatureOf(name);

  function good(title: string, change: Partial<Message> = {}, at: Partial<Stamp> = {}, secrets = [present]): Vector {
    const sent = { ...message, ...change };
    const when = { ...stamp, ...at };
    const body = format.body(sent);
    const flat = format.headers(
      sent,
      body,
      secrets.map((secret) => format.key(secret)),
      when,
      null,
    );
    const headers: Headers = {};
    for (let i = 0; i < flat.length; i += 2) headers[flat[i]!] = flat[i + 1]!;
    // It changes with every release, and no receiver reads it.
    delete headers['User-Agent'];
    return {
      title,
      expected: 'ok',
      signed: { secrets, message: sent, stamp: when },
      request: { headers, body: body.toString() },
      secrets: [present],
      now: NOW,
      toleranceSeconds: TOLERANCE_SECONDS,
    };
  }

  function changed(title: string, expected: Vector['expected'], change: (vector: Vector) => void): Vector {
    const vector = structuredClone(good(title));
    delete vector.signed;
    vector.expected = expected;
    change(vector);
    return vector;
  }

  const text = (vector: Vector, header: string): string => vector.request.headers[header] as string;
  const rotated = (title: string, attemptNumber: number, secrets: string[]): Vector => ({
    ...good(title, {}, { attemptNumber }, [present, previous]),
    secrets,
  });

  const vectors = [
    good('a request as sent'),
    good('text outside ASCII, and characters that JSON escapes', {
      data: '{"name":"Zoë 🦊","path":"a\\\\b","line":"1\\n2","escaped":"\\u00e9\\ud83e\\udd8a","separator":"\u2028"}',
    }),
    good('empty data', { data: '{}' }),
    good('data that is null', { data: 'null' }),
    good('data with white space and numbers in other spellings', {
      data: '{ "b" : 1.0, "a" :\n 12345678901234567890, "e": 1E2, "text": "two  spaces" }',
    }),
    good('no group, own category', { group: null, category: 'billing' }),
    good('a later attempt, with a time of its own', {}, { attemptNumber: 4, now: NOW + HOUR }),
    changed('another secret', 'no_match', (vector) => (vector.secrets = [other])),
    { ...good('the right secret among several'), secrets: [other, present] },
    changed('no secret at all', 'bad_secret', (vector) => (vector.secrets = [])),
    changed('a byte of the body changed', 'no_match', (vector) => {
      vector.request.body = vector.request.body.replace('grnt_01', 'grnt_02');
    }),
    changed('a line break behind the body', 'no_match', (vector) => (vector.request.body += '\n')),
    changed('the body parsed and written again with spaces', 'no_match', (vector) => {
      vector.request.body = respaced(vector.request.body);
    }),
    changed('the signature header missing', 'missing_header', (vector) => delete vector.request.headers[mainHeader]),
    changed('the signature header twice', 'bad_header', (vector) => {
      vector.request.headers[mainHeader] = [text(vector, mainHeader), text(vector, mainHeader)];
    }),
    changed('a signature cut short', 'no_match', (vector) => {
      vector.request.headers[mainHeader] = text(vector, mainHeader).slice(0, -2);
    }),
    changed('header names in lower case, as many servers give them', 'ok', (vector) => {
      const entries = Object.entries(vector.request.headers);
      vector.request.headers = Object.fromEntries(entries.map(([header, value]) => [header.toLowerCase(), value]));
    }),
    rotated('rotation, first attempt, receiver has the previous secret', 1, [previous]),
    rotated('rotation, first attempt, receiver has the present secret', 1, [present]),
    rotated('rotation, second attempt, receiver has the previous secret', 2, [previous]),
    rotated('rotation, second attempt, receiver has the present secret', 2, [present]),
    { ...rotated('rotation, receiver has neither secret', 1, [other]), expected: 'no_match' as const },
  ];
  for (const vector of vectors) if (vector.title.startsWith('a later attempt')) vector.now = NOW + HOUR;

  if (name !== 'standard' && name !== 'gravv') {
    const change = (vector: Vector): unknown =>
      (vector.request.headers[mainHeader] = text(vector, mainHeader).replace('sha256=', 'sha512='));
    vectors.push(changed('a signature of another kind', 'bad_header', change));
  }
  const aged = signsTime ? 'too_old' : 'ok';
  const title = signsTime ? 'an hour old' : 'an hour old, which this format cannot tell: it signs no time';
  vectors.push(changed(title, aged, (vector) => (vector.now = NOW + HOUR)));
  if (signsTime) {
    vectors.push(
      changed('as old as may be', 'ok', (vector) => (vector.now = NOW + TOLERANCE_SECONDS * 1000)),
      changed('a second older than may be', 'too_old', (vector) => (vector.now = NOW + (TOLERANCE_SECONDS + 1) * 1000)),
      changed('an hour ahead', 'too_new', (vector) => (vector.now = NOW - HOUR)),
    );
  }
  vectors.push(...ownVectorsOf(name, changed, other));
  return vectors;
}

/** What only one format has. */
function ownVectorsOf(
  name: string,
  changed: (title: string, expected: Vector['expected'], change: (vector: Vector) => void) => Vector,
  other: string,
): Vector[] {
  if (name === 'standard') {
    const signature = (vector: Vector): string => vector.request.headers['webhook-signature'] as string;
    return [
      changed('several signatures, of other versions too', 'ok', (vector) => {
        const noise = 'v1a,c2lnbmF0dXJl v2,c2lnbmF0dXJl v1,d3Jvbmc=';
        vector.request.headers['webhook-signature'] = `${noise} ${signature(vector)}`;
      }),
      changed('several signatures, none right', 'no_match', (vector) => {
        vector.request.headers['webhook-signature'] = 'v1,d3Jvbmc= v1,d3Jvbmcy';
      }),
      changed('the right signature under another version', 'bad_header', (vector) => {
        vector.request.headers['webhook-signature'] = signature(vector).replace('v1,', 'v1a,');
      }),
      changed('another id', 'no_match', (vector) => (vector.request.headers['webhook-id'] = 'evt_other')),
      changed('a time that is no number', 'bad_header', (vector) => {
        vector.request.headers['webhook-timestamp'] = '1768469401abc';
      }),
      changed('no time', 'missing_header', (vector) => delete vector.request.headers['webhook-timestamp']),
      changed('the secret without its prefix', 'ok', (vector) => {
        vector.secrets = vector.secrets.map((secret) => secret.replace('whsec_', ''));
      }),
      changed('a secret that is not base64', 'bad_secret', (vector) => (vector.secrets = ['whsec_not*base64'])),
      changed('a secret that is too short', 'bad_secret', (vector) => (vector.secrets = ['whsec_c2hvcnQ='])),
    ];
  }
  if (name === 'grantex') {
    return [
      changed('the time changed, which only the second signature covers', 'no_match', (vector) => {
        vector.request.headers['X-Grantex-Timestamp'] = String(Math.floor(NOW / 1000) + 1);
      }),
      changed('the second signature missing', 'missing_header', (vector) => {
        delete vector.request.headers['X-Grantex-Signature-V2'];
      }),
      changed('the second signature made with another secret', 'no_match', (vector) => {
        const format = compileWireFormat(name);
        const flat = format.headers(message, format.body(message), [format.key(other)], stamp, null);
        vector.request.headers['X-Grantex-Signature-V2'] = flat[flat.indexOf('X-Grantex-Signature-V2') + 1]!;
      }),
    ];
  }
  if (name === 'grantiva') {
    return [
      changed('the body parsed and written again by JSON.stringify', 'ok', (vector) => {
        vector.request.body = JSON.stringify(JSON.parse(vector.request.body));
      }),
    ];
  }
  return [];
}

function signatureOf(name: string): string {
  return `X-${name.charAt(0).toUpperCase()}${name.slice(1)}-Signature`;
}

const folder = join(import.meta.dirname, '..', 'spec', 'vectors');
const check = process.argv.includes('--check');
mkdirSync(folder, { recursive: true });
for (const name of presetNames) {
  const file = join(folder, `${name}.json`);
  const content = { format: name, vectors: vectorsOf(name) };
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
