import { createHmac, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { WireFormatError } from './error.ts';
import { decodeSecret } from './secret.ts';
import type { SecretEncoding } from './secret.ts';
import type { SignatureSpec } from './schema.ts';
import { compileText, findPlaceholder, parseTemplate, requireHeaderText } from './template.ts';
import type { Piece, TextTemplate } from './template.ts';

const HASHES = { 'hmac-sha256': 'sha256', 'hmac-sha384': 'sha384', 'hmac-sha512': 'sha512' } as const;

/** How to read a lead back from a header; `names` are the placeholders of its groups, in order. */
interface LeadPattern {
  names: readonly string[];
  pattern: RegExp;
}

/** One signature of a format, ready to sign with and to verify by. */
export interface Signature {
  header: string;
  alternateHeader: string;
  rotation: NonNullable<SignatureSpec['rotation']>;
  separator: string;
  secretEncoding: SecretEncoding;
  /** What stands before and after the signature itself in the header: `v1,` and nothing. */
  valuePrefix: string;
  valueSuffix: string;
  lead: TextTemplate | null;
  leadPattern: LeadPattern;
  /** The signed text before and after the body; null = nothing. */
  before: TextTemplate | null;
  after: TextTemplate | null;
  /** The signed text as declared, with the body as `{body}`. */
  signedPieces: readonly Piece[];
  /** The signature as header text, without prefix and suffix. */
  sign(key: KeyObject, before: string, body: Uint8Array, after: string): string;
}

/** Compiles one entry of `signatures`; `path` names it in errors. */
export function compileSignature(spec: SignatureSpec, path: string): Signature {
  const value = spec.value ?? '{signature}';
  requireHeaderText(`${spec.lead ?? ''}${value}`, `${path}.value`);
  const [valuePrefix, valueSuffix] = splitAt(value, 'signature', `${path}.value`).map((pieces) =>
    literalOf(pieces, `${path}.value`),
  ) as [string, string];
  const separator = spec.separator ?? (value.includes(' ') ? ',' : ' ');
  // A receiver takes several signatures apart at the separator, so none may stand inside one.
  if (valuePrefix.includes(separator) || valueSuffix.includes(separator)) {
    throw new WireFormatError(
      `${path}.separator`,
      'also stands in `value`, so a list could not be taken apart; use another',
    );
  }
  const [before, after] = splitAt(spec.signed, 'body', `${path}.signed`);
  const lead = parseTemplate(spec.lead ?? '', `${path}.lead`);
  const hash = HASHES[spec.algorithm];
  const encoding = spec.encoding;
  return {
    header: spec.header,
    alternateHeader: spec.alternateHeader ?? `${spec.header}-Alternate`,
    rotation: spec.rotation ?? 'alternate',
    separator,
    secretEncoding: spec.secretEncoding ?? 'utf8',
    valuePrefix,
    valueSuffix,
    lead: lead.length === 0 ? null : compileText(lead, `${path}.lead`),
    leadPattern: compileLeadPattern(lead, `${path}.lead`),
    before: before.length === 0 ? null : compileText(before, `${path}.signed`),
    after: after.length === 0 ? null : compileText(after, `${path}.signed`),
    signedPieces: [...before, { name: 'body' }, ...after],
    sign(key, textBefore, body, textAfter) {
      const hmac = createHmac(hash, key);
      if (textBefore !== '') hmac.update(textBefore);
      hmac.update(body);
      if (textAfter !== '') hmac.update(textAfter);
      return hmac.digest(encoding);
    },
  };
}

/**
 * Matches a lead at the start of a header, one named group for each placeholder in order (`p0`, `p1`). Only values of a
 * fixed shape may stand there, apart from each other: with free text nobody could tell where it ends.
 */
function compileLeadPattern(pieces: readonly Piece[], path: string): LeadPattern {
  const names: string[] = [];
  let pattern = '^';
  pieces.forEach((piece, i) => {
    if ('literal' in piece) {
      pattern += piece.literal.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
      return;
    }
    const { shape } = findPlaceholder(piece.name, 'header', path);
    const next = pieces[i + 1];
    if (shape === null || next === undefined || 'name' in next) {
      const remedy = 'use a time, a number or a UUID, with other text behind it';
      throw new WireFormatError(path, `{${piece.name}} has no visible end here; ${remedy}`);
    }
    names.push(piece.name);
    pattern += `(${shape.source.slice(1, -1)})`;
  });
  return { names, pattern: new RegExp(pattern) };
}

/** The key of a secret's text for one signature; see {@link decodeSecret} for what it throws. */
export function signingKey(secret: string, encoding: SecretEncoding): KeyObject {
  return createSecretKey(decodeSecret(secret, encoding));
}

/** Splits a template at the one place where `{name}` stands. */
function splitAt(template: string, name: string, path: string): [Piece[], Piece[]] {
  const pieces = parseTemplate(template, path);
  const places = pieces.flatMap((piece, i) => ('name' in piece && piece.name === name ? [i] : []));
  if (places.length !== 1) {
    throw new WireFormatError(path, `holds {${name}} ${places.length} times; write it exactly once`);
  }
  return [pieces.slice(0, places[0]), pieces.slice(places[0]! + 1)];
}

function literalOf(pieces: readonly Piece[], path: string): string {
  let text = '';
  for (const piece of pieces) {
    if ('name' in piece) {
      throw new WireFormatError(path, `{${piece.name}} cannot stand here, only {signature}; \`lead\` takes others`);
    }
    text += piece.literal;
  }
  return text;
}
