import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compileWireFormat, presetNames, verify, WireFormatError } from '../../src/wire/wire.ts';
import type { CustomFormat } from '../../src/wire/wire.ts';
import { byName, hexHmac, message, stamp } from './fixtures.ts';

type SignatureSpec = CustomFormat['signatures'][number];

const bodySignature: SignatureSpec = { header: 'X-Sig', algorithm: 'hmac-sha256', encoding: 'hex', signed: '{body}' };

function declare(change: Partial<CustomFormat> = {}, signature: Partial<SignatureSpec> = {}): CustomFormat {
  return { body: { type: '{event.type}' }, signatures: [{ ...bodySignature, ...signature }], ...change };
}

function bodyOf(body: CustomFormat['body'], json?: CustomFormat['json'], change = {}): string {
  const format = compileWireFormat({ ...declare({ body }), ...(json === undefined ? {} : { json }) });
  return format.body({ ...message, ...change }).toString();
}

function errorOf(spec: unknown): WireFormatError {
  try {
    compileWireFormat(spec as CustomFormat);
  } catch (error) {
    expect(error).toBeInstanceOf(WireFormatError);
    return error as WireFormatError;
  }
  throw new Error('it compiled');
}

describe('the body of a declared format', () => {
  it('keeps the JSON type of a lone placeholder, and the order of the keys', () => {
    const body = {
      z: '{event.occurredAt.unix}',
      a: ['{event.occurredAt.ms}', '{event.group}', true, null, 1.5],
      text: 'at {event.occurredAt} for {tenant.id}{event.group}',
      fixed: 'a {{brace}} "quoted"',
      deep: { data: '{event.data}' },
    };
    expect(bodyOf(body)).toBe(
      '{"z":1768469400,"a":[1768469400250,null,true,null,1.5],"text":"at 2026-01-15T09:30:00.250Z for acme",' +
        `"fixed":"a {brace} \\"quoted\\"","deep":{"data":${message.data}}}`,
    );
  });

  it('writes the payload as published, minified or compact', () => {
    const data = '{ "n" : 1.0, "t": "a  \\u0062" }';
    expect(bodyOf('{event.data}', undefined, { data })).toBe(data);
    expect(bodyOf('{event.data}', 'verbatim', { data })).toBe(data);
    expect(bodyOf('{event.data}', 'minified', { data })).toBe('{"n":1.0,"t":"a  \\u0062"}');
    expect(bodyOf('{event.data}', 'compact', { data })).toBe('{"n":1,"t":"a  b"}');
  });

  it('puts text into JSON strings unharmed, unlike into headers', () => {
    const change = { group: 'é"\n', id: 'ключ', source: '\ud800' };
    expect(bodyOf({ a: '{event.group}', b: 'x-{event.id}', c: '{event.source}' }, undefined, change)).toBe(
      '{"a":"é\\"\\n","b":"x-ключ","c":"\\ud800"}',
    );
  });
});

describe('the headers of a declared format', () => {
  it('keep their letter case and order, and are left out where there is no value', () => {
    const headers = {
      'x-LOWER-and-UPPER': '{event.type} #{attempt.number}',
      'X-Group': '{event.group}',
      'X-Fixed': 'yes {{}}',
      'X-Category': '{event.category}',
      'X-Delivery': '{delivery.id}',
      'X-Ms': '{attempt.at.ms}',
    };
    const format = compileWireFormat(declare({ headers, contentType: 'application/cloudevents+json' }));
    const body = format.body(message);
    const flat = format.headers(message, body, [format.key('s')], stamp, null);
    expect(flat.slice(0, 2)).toEqual(['Content-Type', 'application/cloudevents+json']);
    expect(flat.slice(4)).toEqual([
      ...['x-LOWER-and-UPPER', 'grant.created #1'],
      ...['X-Fixed', 'yes {}'],
      ...['X-Category', 'grant'],
      ...['X-Delivery', stamp.deliveryId],
      ...['X-Ms', String(stamp.now)],
      ...['X-Sig', hexHmac('s', body)],
    ]);
    const grouped = format.headers(
      { ...message, group: 'g\r\nHost: evil\u00e9' },
      body,
      [format.key('s')],
      stamp,
      null,
    );
    expect(byName(grouped)['X-Group']).toBe('g%0D%0AHost: evil%C3%A9');
    const broken = format.headers({ ...message, group: ' \ud800' }, body, [format.key('s')], stamp, null);
    expect(byName(broken)['X-Group']).toBe('%20%EF%BF%BD');
  });
});

describe('the signatures of a declared format', () => {
  const encodings = {
    utf8: 'text',
    base64: 'AAECAwQFBgcICQoLDA0ODw==',
    hex: '00FFab',
    whsec: `whsec_${'AAAA'.repeat(8)}`,
  };
  const keys = {
    utf8: Buffer.from('text'),
    base64: Buffer.from(encodings.base64, 'base64'),
    hex: Buffer.from([0, 255, 171]),
    whsec: Buffer.alloc(24),
  };
  const hashes = ['sha256', 'sha384', 'sha512'] as const;
  const cases = hashes.flatMap((hash) =>
    (['hex', 'base64'] as const).flatMap((encoding) =>
      (['utf8', 'base64', 'hex', 'whsec'] as const).map((secretEncoding) => ({ hash, encoding, secretEncoding })),
    ),
  );

  it.each(cases)(
    'are HMAC-$hash in $encoding with the secret as $secretEncoding',
    ({ hash, encoding, secretEncoding }) => {
      const signature = {
        algorithm: `hmac-${hash}` as const,
        encoding,
        secretEncoding,
        value: 'k={signature};',
        separator: ' ' as const,
      };
      const spec = declare({}, signature);
      const format = compileWireFormat(spec);
      const body = format.body(message);
      const headers = byName(format.headers(message, body, [format.key(encodings[secretEncoding])], stamp, null));
      const byHand = createHmac(hash, keys[secretEncoding]).update('{"type":"grant.created"}').digest(encoding);
      expect(headers['X-Sig']).toBe(`k=${byHand};`);
      expect(verify({ format: spec, body, headers, secrets: [encodings[secretEncoding]] })).toEqual({ ok: true });
    },
  );

  it('sign text before and behind the body', () => {
    const spec = declare(
      { headers: { 'X-Id': '{event.id}', 'X-Group': '{event.group}', 'X-At': '{attempt.at}' } },
      { signed: 'v0:{event.id}|{event.group}\n{body}\n{attempt.at}é' },
    );
    const format = compileWireFormat(spec);
    for (const group of [null, '', 'g 1', 'gé']) {
      const sent = { ...message, group };
      const body = format.body(sent);
      const headers = byName(format.headers(sent, body, [format.key('s')], stamp, null));
      const text = `v0:${message.id}|${headers['X-Group'] ?? ''}\n${body.toString()}\n2026-01-15T09:30:01.500Zé`;
      expect(headers['X-Sig']).toBe(hexHmac('s', text));
      const input = { format: spec, body, headers, secrets: ['s'], now: stamp.now };
      expect(verify(input)).toEqual({ ok: true });
      expect(verify({ ...input, headers: { ...headers, 'X-Group': 'other' } })).toMatchObject({ code: 'no_match' });
    }
  });
});

describe('rotation', () => {
  const secrets = ['third and newest', 'second', 'first and oldest'];

  function rotated(signature: Partial<SignatureSpec>, attemptNumber: number, live = secrets) {
    const spec = declare({}, signature);
    const format = compileWireFormat(spec);
    const body = format.body(message);
    const keys = live.map((secret) => format.key(secret));
    const headers = byName(format.headers(message, body, keys, { ...stamp, attemptNumber }, null));
    const [newest, second, oldest] = secrets.map((secret) => hexHmac(secret, body));
    return { spec, body, headers, newest, second, oldest };
  }

  it('takes turns from the oldest secret to the newest, and sends the other signatures beside', () => {
    for (const [attemptNumber, main] of [
      [1, 'oldest'],
      [2, 'second'],
      [3, 'newest'],
      [4, 'oldest'],
    ] as const) {
      const { headers, ...signatures } = rotated({}, attemptNumber);
      expect(headers['X-Sig']).toBe(signatures[main]);
      const others = [signatures.newest, signatures.second, signatures.oldest].filter(
        (text) => text !== headers['X-Sig'],
      );
      expect(headers['X-Sig-Alternate']).toBe(others.join(' '));
    }
  });

  it('keeps to the oldest or the newest where the format says so', () => {
    for (const attemptNumber of [1, 2, 3]) {
      const oldest = rotated({ rotation: 'oldest', alternateHeader: 'X-Next' }, attemptNumber);
      expect(oldest.headers['X-Sig']).toBe(oldest.oldest);
      expect(oldest.headers['X-Next']).toBe(`${oldest.newest} ${oldest.second}`);
      const newest = rotated({ rotation: 'newest', separator: ', ' }, attemptNumber);
      expect(newest.headers['X-Sig']).toBe(newest.newest);
      expect(newest.headers['X-Sig-Alternate']).toBe(`${newest.second}, ${newest.oldest}`);
    }
  });

  it('lists all signatures behind one lead', () => {
    const { spec, body, headers } = rotated(
      {
        rotation: 'list',
        lead: 't={attempt.at.unix},',
        value: 'v1={signature}',
        signed: '{attempt.at.unix}.{body}',
        separator: ',',
      },
      1,
    );
    const values = secrets.map((secret) => `v1=${hexHmac(secret, `1768469401.${body.toString()}`)}`);
    expect(headers['X-Sig']).toBe(`t=1768469401,${values.join(',')}`);
    expect(Object.keys(headers)).not.toContain('X-Sig-Alternate');
    const input = { format: spec, body, headers, secrets: ['second'], now: stamp.now };
    expect(verify(input)).toEqual({ ok: true });
    expect(verify({ ...input, now: stamp.now + 302_000 })).toMatchObject({ code: 'too_old' });
    const moved = { 'X-Sig': headers['X-Sig']!.replace('t=1768469401', 't=1768469402') };
    expect(verify({ ...input, headers: moved })).toMatchObject({ code: 'no_match' });
    expect(verify({ ...input, headers: { 'X-Sig': values.join(',') } })).toMatchObject({ code: 'bad_header' });
  });

  it('sends no alternate header while one secret is live', () => {
    expect(Object.keys(rotated({}, 1, ['only']).headers)).not.toContain('X-Sig-Alternate');
  });

  it.each(['list', 'alternate', 'oldest', 'newest'] as const)(
    'verifies with any live secret at any attempt (%s)',
    (rotation) => {
      for (const attemptNumber of [1, 2, 3]) {
        const { spec, body, headers } = rotated({ rotation }, attemptNumber);
        for (const secret of secrets)
          expect(verify({ format: spec, body, headers, secrets: [secret] })).toEqual({ ok: true });
        expect(verify({ format: spec, body, headers, secrets: ['fourth'] })).toMatchObject({ code: 'no_match' });
      }
    },
  );
});

describe('a declaration that cannot work is refused with its path and a remedy', () => {
  const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });
  const cases: [string, unknown, string, RegExp][] = [
    ['not an object', null, '', /must be object/],
    [
      'an unknown preset',
      'standart',
      '',
      /"standart" is not a wire format; use one of standard, standard-ed25519, grantex/,
    ],
    ['an inherited name as preset', 'constructor', '', /not a wire format/],
    ['no body', { signatures: [bodySignature] }, 'body', /missing; add it/],
    ['a body that is text', declare({ body: 'hello' as never }), 'body', /object, or "\{event.data\}"/],
    ['an unknown field', { ...declare(), algorithm: 'x' }, 'algorithm', /not a field/],
    ['an unknown field of a signature', declare({}, { prefix: 'x' } as never), 'signatures[0].prefix', /not a field/],
    ['no signature', declare({ signatures: [] }), 'signatures', /fewer than 1/],
    ['another algorithm', declare({}, { algorithm: 'md5' as never }), 'signatures[0].algorithm', /"hmac-sha256", /],
    [
      'an unknown placeholder',
      declare({ body: { a: { b: ['{event.name}'] } } }),
      'body.a.b[0]',
      /not a placeholder.*\{event.type\}/,
    ],
    ['an inherited name as placeholder', declare({ body: { a: '{constructor}' } }), 'body.a', /not a placeholder/],
    ['an attempt in the body', declare({ body: { at: '{attempt.at}' } }), 'body.at', /changes from attempt to attempt/],
    ['a payload inside text', declare({ body: { a: 'x{event.data}' } }), 'body.a', /let it stand alone/],
    ['a payload in a header', declare({ headers: { 'X-A': '{event.data}' } }), 'headers.X-A', /is the payload/],
    ['a lone brace', declare({ body: { a: 'x}' } }), 'body.a', /write "\}\}"/],
    ['a body too deep', declare({ body: nested(10) as never }), 'body.a.a.a.a.a.a.a.a.a', /8 levels/],
    ['a body of too many values', declare({ body: { a: Array(201).fill(1) } }), 'body', /200 values/],
    ['a long text', declare({ body: { a: 'x'.repeat(1001) } }), 'body.a', /1000 characters/],
    ['a value outside JSON', declare({ body: { a: Number.NaN } }), 'body.a', /not a JSON value/],
    ['a header of the connection', declare({ headers: { Host: 'x' } }), 'headers.Host', /belongs to the connection/],
    [
      'a header of the sender',
      declare({ headers: { 'content-TYPE': 'x' } }),
      'headers.content-TYPE',
      /set by the sender/,
    ],
    ['a header name with a space', declare({ headers: { 'X A': 'x' } }), 'headers.X A', /not a header name/],
    ['a header name with a line break', declare({}, { header: 'X-A\r\nX-B' }), 'signatures[0].header', /pattern/],
    ['a header value with a line break', declare({ headers: { 'X-A': 'a\r\nb' } }), 'headers.X-A', /visible ASCII/],
    ['a header value with a space at its end', declare({ headers: { 'X-A': 'a ' } }), 'headers.X-A', /space at an end/],
    ['a header twice', declare({ headers: { 'x-sig': 'a' } }), 'signatures[0].header', /declared twice/],
    [
      'an alternate header twice',
      declare({ headers: { 'x-sig-alternate': 'a' } }),
      'signatures[0].alternateHeader',
      /declared twice/,
    ],
    [
      'a signature that does not cover the body',
      declare({}, { signed: '{event.id}' }),
      'signatures[0].signed',
      /exactly once/,
    ],
    ['a value without the signature', declare({}, { value: 'v1' }), 'signatures[0].value', /\{signature\} 0 times/],
    [
      'a value with other placeholders',
      declare({}, { value: '{event.id}={signature}' }),
      'signatures[0].value',
      /`lead`/,
    ],
    [
      'signed text that is not sent',
      declare({}, { signed: '{attempt.at}.{body}' }),
      'signatures[0].signed',
      /no receiver could check/,
    ],
    [
      'signed text that is sent in another spelling',
      declare({ headers: { 'X-At': '{attempt.at.unix}' } }, { signed: '{attempt.at}.{body}' }),
      'signatures[0].signed',
      /no receiver could check/,
    ],
    [
      'an unknown placeholder in signed text',
      declare({}, { signed: '{timestamp}.{body}' }),
      'signatures[0].signed',
      /not a placeholder/,
    ],
    ['free text in a lead', declare({}, { lead: 'id={event.id},' }), 'signatures[0].lead', /no visible end/],
    [
      'a lead that runs into the signature',
      declare({}, { lead: '{attempt.at.unix}' }),
      'signatures[0].lead',
      /no visible end/,
    ],
    [
      'a separator inside the value',
      declare({}, { value: 'v1,{signature}', separator: ',' }),
      'signatures[0].separator',
      /also stands in/,
    ],
    ['a content type with a line break', declare({ contentType: 'a/b\r\nX: y' }), 'contentType', /pattern/],
    [
      'a shape of new secrets that does not fit',
      declare({ newSecret: 'whsec' }, { secretEncoding: 'hex' }),
      'newSecret',
      /does not fit every/,
    ],
    ['an ed25519 key as new secret of HMAC', declare({ newSecret: 'whsk' }), 'newSecret', /does not fit every/],
  ];

  it.each(cases)('%s', (_, spec, path, message) => {
    const error = errorOf(spec);
    expect(error.path).toBe(path);
    expect(error.message).toMatch(message);
    expect(error.message.startsWith(path)).toBe(true);
  });
});

describe('presets', () => {
  it('are the six of the documentation, named so, and compiled once', () => {
    expect(presetNames).toEqual(['standard', 'standard-ed25519', 'grantex', 'grantiva', 'gravv', 'lexigram']);
    for (const name of presetNames) {
      expect(compileWireFormat(name).name).toBe(name);
      expect(compileWireFormat(name)).toBe(compileWireFormat(name));
    }
    expect(compileWireFormat(declare()).name).toBe('custom');
  });
});

describe('docs/wire-formats.md', () => {
  const docs = readFileSync(new URL('../../docs/wire-formats.md', import.meta.url), 'utf8');
  const blocks = (kind: string): string[] =>
    [...docs.matchAll(new RegExp(`\`\`\`${kind}\n([^]*?)\n\`\`\``, 'g'))].map((m) => m[1]!);
  const given = JSON.parse(blocks('json given')[0]!) as {
    event: { id: string; type: string; occurredAt: string };
    deliveryUuid: string;
    attemptAt: string;
  };
  const data = /"data": (\{.*\}),\n/.exec(blocks('json given')[0]!)![1]!;
  const formats = blocks('json format').map((text) => JSON.parse(text) as CustomFormat);
  const requests = blocks('http');
  const secrets = [...docs.matchAll(/With the secret `(.+)`/g)].map((match) => match[1]!);

  it('has three examples', () => {
    expect([formats.length, requests.length, secrets.length]).toEqual([3, 3, 3]);
  });

  it.each([0, 1, 2])('sends what example %i shows, and it verifies', (i) => {
    const format = compileWireFormat(formats[i]!);
    const { id, type, occurredAt } = given.event;
    const sent = { ...message, id, type, data, occurredAt: Date.parse(occurredAt), tenantId: 'acme' };
    const now = Date.parse(given.attemptAt);
    const body = format.body(sent);
    const at = { deliveryId: 'whd_0', deliveryUuid: given.deliveryUuid, attemptNumber: 1, now };
    const headers = byName(format.headers(sent, body, [format.key(secrets[i]!)], at, null));
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const request = `${lines.join('\n')}\n\n${body.toString()}`.replace(/Posthorn\/\S+/, 'Posthorn/<version>');
    expect(request).toBe(requests[i]);
    expect(verify({ format: formats[i]!, body, headers, secrets: [secrets[i]!], now })).toEqual({ ok: true });
  });

  it('signs the examples as node:crypto does by hand', () => {
    const bodies = requests.map((request) => request.slice(request.indexOf('\n\n') + 2));
    expect(requests[0]).toContain(`v1=${hexHmac(secrets[0]!, `1768469401.${bodies[0]!}`)}\n`);
    expect(requests[1]).toContain(`sha256=${hexHmac(secrets[1]!, bodies[1]!)}\n`);
    expect(requests[1]).toContain(`sha512=${hexHmac(secrets[1]!, bodies[1]!, 'sha512')}\n`);
    const key = Buffer.from(secrets[2]!, 'base64');
    const third = createHmac('sha384', key).update(`${given.attemptAt}\n${bodies[2]!}`).digest('base64');
    expect(requests[2]).toContain(`X-Signature: ${third}\n`);
  });

  it('shows a check that takes what grantiva sends and nothing else', async () => {
    const code = blocks('js')[0]!.replace('function isGenuine', 'export function isGenuine');
    const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
      isGenuine: (rawBody: string, header: string | undefined, secret: string) => boolean;
    };
    const body = compileWireFormat('grantiva').body(message).toString();
    expect(module.isGenuine(body, `sha256=${hexHmac('s', body)}`, 's')).toBe(true);
    expect(module.isGenuine(`${body} `, `sha256=${hexHmac('s', body)}`, 's')).toBe(false);
    expect(module.isGenuine(body, undefined, 's')).toBe(false);
  });
});
