import { createRequire } from 'node:module';
import type * as TypeBoxValue from 'typebox/value';
import { version } from '../version.ts';
import { compileBody } from './body.ts';
import { generateSecretKey } from './ed25519.ts';
import { WireFormatError } from './error.ts';
import { forbiddenHeader, reservedNames } from './headers.ts';
import { presets } from './presets.ts';
import { CustomFormatSchema } from './schema.ts';
import type { CustomFormat } from './schema.ts';
import { generateSecret, shapeFor } from './secret.ts';
import { compileSignature } from './signature.ts';
import type { Signature } from './signature.ts';
import { compileText, findPlaceholder, parseTemplate, requireHeaderText, solePlaceholder } from './template.ts';
import type { TextTemplate } from './template.ts';
import type { Message, SigningKey, Stamp, WireFormat, WireFormatSpec } from './wire.ts';

/** Sent with every delivery. */
export const userAgent = `Posthorn/${version}`;

/** A compiled format with what only verification needs. */
export interface CompiledFormat extends WireFormat {
  readonly signatures: readonly Signature[];
  /** By placeholder: the header whose value is exactly that placeholder. */
  readonly carriers: ReadonlyMap<string, string>;
  /** As `key`, for verifying: takes public keys too. */
  verifyingKey(secret: string): SigningKey;
}

/** All that were compiled, to tell them from declarations. */
const compiledFormats = new WeakSet<object>();
const compiledPresets = new Map<string, CompiledFormat>();

/** Compiles a preset (once) or a declared format; see `compileWireFormat`, which is this with less to see. */
export function compileFormat(spec: WireFormatSpec | WireFormat): CompiledFormat {
  if (isCompiled(spec)) return spec;
  if (typeof spec !== 'string') {
    checkShape(spec);
    return compileCustom(spec, 'custom');
  }
  let format = compiledPresets.get(spec);
  if (format === undefined) {
    if (!Object.hasOwn(presets, spec)) {
      const known = Object.keys(presets).join(', ');
      throw new WireFormatError(
        '',
        `${JSON.stringify(spec)} is not a wire format; use one of ${known}, or declare one`,
      );
    }
    format = compileCustom(presets[spec]!, spec);
    compiledPresets.set(spec, format);
  }
  return format;
}

function isCompiled(spec: WireFormatSpec | WireFormat): spec is CompiledFormat {
  return typeof spec === 'object' && compiledFormats.has(spec);
}

function compileCustom(spec: CustomFormat, name: string): CompiledFormat {
  const body = compileBody(spec.body, spec.json);
  const signatures = spec.signatures.map((signature, i) => compileSignature(signature, `signatures[${i}]`));
  const headers: { name: string; value: TextTemplate }[] = [];
  const carriers = new Map<string, string>();
  for (const [header, template] of Object.entries(spec.headers ?? {})) {
    const path = `headers.${header}`;
    const pieces = parseTemplate(template, path);
    requireHeaderText(template, path);
    headers.push({ name: header, value: compileText(pieces, path) });
    const sole = solePlaceholder(pieces);
    if (sole !== null) carriers.set(sole, header);
  }
  checkHeaderNames(Object.keys(spec.headers ?? {}), signatures);
  signatures.forEach((signature, i) => checkRecoverable(signature, carriers, `signatures[${i}].signed`));
  checkOneKind(spec.signatures);
  const shape = spec.newSecret ?? shapeFor(signatures.map((signature) => signature.secretEncoding));
  const fixed = ['Content-Type', spec.contentType ?? 'application/json', 'User-Agent', userAgent];
  const ownNames = [...headers.map((header) => header.name)];
  for (const signature of signatures) {
    ownNames.push(signature.header);
    if (signature.rotation !== 'list') ownNames.push(signature.alternateHeader);
  }
  const reserved = reservedNames(ownNames);

  const format: CompiledFormat = {
    name,
    signatures,
    carriers,
    body,
    headers(message, bytes, keys, stamp, extra) {
      const out = [...fixed];
      for (const header of headers) {
        const value = header.value(message, stamp);
        if (value !== null) out.push(header.name, value);
      }
      for (let i = 0; i < signatures.length; i++) addSignature(out, signatures[i]!, i, message, bytes, keys, stamp);
      if (extra !== null) for (const text of extra) out.push(text);
      return out;
    },
    newSecret: () => (shape === 'whsk' ? generateSecretKey() : generateSecret(shape)),
    key: (secret) => ({ keys: signatures.map((signature) => signature.signingKey(secret)) }),
    verifyingKey: (secret) => ({ keys: signatures.map((signature) => signature.verifyingKey(secret)) }),
    publicKey: (secret) => signatures[0]!.publicKey(secret),
    checkSecret(secret) {
      try {
        format.key(secret);
        return null;
      } catch (error) {
        if (error instanceof WireFormatError) return error.message;
        throw error;
      }
    },
    signatureHeaders: () =>
      signatures.flatMap(({ header, alternateHeader }) => [header.toLowerCase(), alternateHeader.toLowerCase()]),
    reservedHeaders: () => reserved,
  };
  // A text of any shape would do for `utf8`, but `whsk_` says ed25519 to whoever reads it.
  const isOdd = shape === 'whsk' && format.publicKey(format.newSecret()) === null;
  if (isOdd || format.checkSecret(format.newSecret()) !== null) {
    throw new WireFormatError('newSecret', `"${shape}" does not fit every \`secretEncoding\`; leave it out`);
  }
  compiledFormats.add(format);
  return format;
}

/** One secret signs all of them, and none is both a shared secret and an ed25519 key. */
function checkOneKind(signatures: CustomFormat['signatures']): void {
  const isAsymmetric = ({ algorithm }: (typeof signatures)[number]): boolean => algorithm === 'ed25519';
  const odd = signatures.findIndex((signature) => isAsymmetric(signature) !== isAsymmetric(signatures[0]!));
  if (odd === -1) return;
  const remedy = 'use one of the two in all signatures, and a second endpoint for the other';
  throw new WireFormatError(
    `signatures[${odd}].algorithm`,
    `HMAC and ed25519 cannot share the endpoint's one secret; ${remedy}`,
  );
}

/** Adds one signature's header, and while several secrets are live what `rotation` says about the others. */
function addSignature(
  out: string[],
  signature: Signature,
  index: number,
  message: Message,
  body: Buffer,
  keys: readonly SigningKey[],
  stamp: Stamp,
): void {
  const before = signature.before === null ? '' : (signature.before(message, stamp) ?? '');
  const after = signature.after === null ? '' : (signature.after(message, stamp) ?? '');
  const lead = signature.lead === null ? '' : (signature.lead(message, stamp) ?? '');
  const { valuePrefix, valueSuffix } = signature;
  const values = keys.map((key) => valuePrefix + signature.sign(key.keys[index]!, before, body, after) + valueSuffix);
  // Unsigned is worse than unsent: a receiver that skips the check would take it.
  if (values.length === 0) throw new WireFormatError('secret', 'there is no live secret to sign with; make one');
  if (values.length === 1) {
    out.push(signature.header, lead + values[0]!);
  } else if (signature.rotation === 'list') {
    out.push(signature.header, lead + values.join(signature.separator));
  } else {
    const [first] = values.splice(turnOf(signature.rotation, values.length, stamp.attemptNumber), 1);
    out.push(signature.header, lead + first!, signature.alternateHeader, lead + values.join(signature.separator));
  }
}

/** Which of the live secrets, newest first, signs the header that one-value receivers compare. */
function turnOf(rotation: Signature['rotation'], live: number, attemptNumber: number): number {
  if (rotation === 'newest') return 0;
  if (rotation === 'oldest') return live - 1;
  return live - 1 - ((attemptNumber - 1) % live);
}

/** A receiver must be able to write the signed text itself, so each placeholder in it has to arrive as such. */
function checkRecoverable(signature: Signature, carriers: ReadonlyMap<string, string>, path: string): void {
  for (const piece of signature.signedPieces) {
    if (!('name' in piece) || piece.name === 'body') continue;
    findPlaceholder(piece.name, 'header', path);
    if (carriers.has(piece.name) || signature.leadPattern.names.includes(piece.name)) continue;
    const remedy = `add a header whose value is "{${piece.name}}", or put it into \`lead\``;
    throw new WireFormatError(
      path,
      `no receiver could check this, since {${piece.name}} is not sent as such; ${remedy}`,
    );
  }
}

function checkHeaderNames(plain: readonly string[], signatures: readonly Signature[]): void {
  const seen = new Set<string>();
  function add(name: string, path: string): void {
    const lower = name.toLowerCase();
    const forbidden = forbiddenHeader(lower);
    if (forbidden !== null) throw new WireFormatError(path, `the header ${forbidden}`);
    if (seen.has(lower)) throw new WireFormatError(path, `the header ${name} is declared twice; rename one`);
    seen.add(lower);
  }
  for (const name of plain) add(name, `headers.${name}`);
  signatures.forEach((signature, i) => {
    add(signature.header, `signatures[${i}].header`);
    if (signature.rotation !== 'list') add(signature.alternateHeader, `signatures[${i}].alternateHeader`);
  });
}

const require = createRequire(import.meta.url);

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;

/** Checks a declaration against its schema; the first thing wrong is thrown with its path and the remedy. */
function checkShape(spec: unknown): asserts spec is CustomFormat {
  // Loaded when the first format is declared: it would be a tenth of every start.
  const { Value } = require('typebox/value') as typeof TypeBoxValue;
  if (Value.Check(CustomFormatSchema, spec)) {
    for (const name of Object.keys(spec.headers ?? {})) {
      if (HEADER_NAME.test(name)) continue;
      throw new WireFormatError(
        `headers.${name.slice(0, 80)}`,
        'is not a header name; use letters, digits and hyphens',
      );
    }
    return;
  }
  const [error] = Value.Errors(CustomFormatSchema, spec);
  if (error === undefined) throw new WireFormatError('', 'is not a wire format');
  const at = error.instancePath.split('/').slice(1);
  let problem = `${error.message}; correct it`;
  if (error.keyword === 'boolean') {
    problem = 'is not a field of a wire format; remove it';
  } else if (error.keyword === 'required') {
    at.push(error.params.requiredProperties[0]!);
    problem = 'is missing; add it';
  } else if (error.keyword === 'enum') {
    problem = `must be one of ${error.params.allowedValues.map((value) => JSON.stringify(value)).join(', ')}`;
  } else if (error.keyword === 'const' || error.keyword === 'anyOf') {
    problem = 'must be an object, or "{event.data}" for the payload alone';
  }
  const path = at.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  throw new WireFormatError(
    path.reduce((text, step) => (/^\d+$/.test(step) ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`), ''),
    problem,
  );
}
