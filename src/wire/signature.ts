import { ed25519 } from './ed25519.ts';
import { WireFormatError } from './error.ts';
import { hmac } from './hmac.ts';
import type { SignatureSpec } from './schema.ts';
import type { Scheme } from './scheme.ts';
import type { SecretEncoding } from './secret.ts';
import { compileText, findPlaceholder, parseTemplate, requireHeaderText } from './template.ts';
import type { Piece, TextTemplate } from './template.ts';

/** How to read a lead back from a header; `names` are the placeholders of its groups, in order. */
interface LeadPattern {
  names: readonly string[];
  pattern: RegExp;
}

/** One signature of a format, ready to sign with and to verify by. */
export interface Signature extends Scheme {
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
  return {
    ...schemeOf(spec, path),
    header: spec.header,
    alternateHeader: spec.alternateHeader ?? `${spec.header}-Alternate`,
    rotation: spec.rotation ?? 'alternate',
    separator,
    secretEncoding: secretEncodingOf(spec),
    valuePrefix,
    valueSuffix,
    lead: lead.length === 0 ? null : compileText(lead, `${path}.lead`),
    leadPattern: compileLeadPattern(lead, `${path}.lead`),
    before: before.length === 0 ? null : compileText(before, `${path}.signed`),
    after: after.length === 0 ? null : compileText(after, `${path}.signed`),
    signedPieces: [...before, { name: 'body' }, ...after],
  };
}

function secretEncodingOf(spec: SignatureSpec): SecretEncoding {
  return spec.secretEncoding ?? (spec.algorithm === 'ed25519' ? 'whsk' : 'utf8');
}

function schemeOf(spec: SignatureSpec, path: string): Scheme {
  const secretEncoding = secretEncodingOf(spec);
  if (spec.algorithm === 'ed25519') {
    if (secretEncoding === 'whsk') return ed25519(spec.encoding);
    throw new WireFormatError(`${path}.secretEncoding`, 'must be "whsk" with ed25519; correct it, or leave it out');
  }
  if (secretEncoding !== 'whsk') return hmac(spec.algorithm, spec.encoding, secretEncoding);
  throw new WireFormatError(`${path}.secretEncoding`, '"whsk" is for ed25519, and this signature is HMAC; use another');
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
