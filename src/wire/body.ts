import { WireFormatError } from './error.ts';
import type { CustomFormat } from './schema.ts';
import { findPlaceholder, parseTemplate, solePlaceholder } from './template.ts';
import type { Message, Stamp } from './wire.ts';

type Part = string | ((message: Message) => string);

const MAX_DEPTH = 8;
const MAX_NODES = 200;
const MAX_TEXT = 1000;

/** Bodies hold placeholders of the message only, so nothing ever reads this. */
const noStamp: Stamp = { deliveryId: '', deliveryUuid: '', attemptNumber: 0, now: 0 };

/**
 * Compiles a body's shape to a function that gives its bytes, the same for the same message every time. Keys keep their
 * order. Throws {@link WireFormatError} where a leaf cannot work. The function throws a SyntaxError when the format is
 * `compact` and the message's data is not JSON.
 */
export function compileBody(body: CustomFormat['body'], json: CustomFormat['json']): (message: Message) => Buffer {
  const parts: Part[] = [];
  let nodes = 0;
  let payloads = 0;

  function add(part: Part): void {
    const last = parts.at(-1);
    if (typeof part === 'string' && typeof last === 'string') parts[parts.length - 1] = last + part;
    else parts.push(part);
  }

  function walk(node: unknown, path: string, depth: number): void {
    if (++nodes > MAX_NODES) throw new WireFormatError('body', `has more than ${MAX_NODES} values; make it smaller`);
    if (depth > MAX_DEPTH)
      throw new WireFormatError(path, `is nested deeper than ${MAX_DEPTH} levels; make it flatter`);
    if (typeof node === 'string') {
      if (node.includes('{event.data}') && ++payloads > 1) {
        throw new WireFormatError(path, 'holds {event.data} once more; a body has room for it once');
      }
      add(compileLeaf(node, path, json));
    } else if (node === null || typeof node === 'boolean' || (typeof node === 'number' && Number.isFinite(node))) {
      add(JSON.stringify(node));
    } else if (Array.isArray(node)) {
      add('[');
      node.forEach((element, i) => {
        if (i > 0) add(',');
        walk(element, `${path}[${i}]`, depth + 1);
      });
      add(']');
    } else if (typeof node === 'object') {
      add('{');
      Object.entries(node).forEach(([key, value], i) => {
        add(`${i > 0 ? ',' : ''}${JSON.stringify(key)}:`);
        walk(value, `${path}.${key}`, depth + 1);
      });
      add('}');
    } else {
      throw new WireFormatError(
        path,
        'is not a JSON value; use text, a number, true, false, null, a list or an object',
      );
    }
  }

  walk(body, 'body', 0);
  return (message) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(message);
    return Buffer.from(text);
  };
}

/** A string of the body's shape: a placeholder alone keeps its JSON type, text around placeholders makes one string. */
function compileLeaf(template: string, path: string, json: CustomFormat['json']): Part {
  if (template.length > MAX_TEXT) throw new WireFormatError(path, `is longer than ${MAX_TEXT} characters; shorten it`);
  const pieces = parseTemplate(template, path);
  const sole = solePlaceholder(pieces);
  if (sole === 'event.data') return dataAs(json);
  const values = pieces.map((piece) => {
    if ('literal' in piece) return piece.literal;
    if (piece.name === 'event.data') {
      throw new WireFormatError(path, '{event.data} is JSON, not text; let it stand alone: "{event.data}"');
    }
    return findPlaceholder(piece.name, 'body', path).value;
  });
  const [first] = values;
  if (sole !== null && typeof first === 'function') return (message) => JSON.stringify(first(message, noStamp));
  if (values.every((value) => typeof value === 'string')) return JSON.stringify(values.join(''));
  return (message) => {
    let text = '';
    for (const value of values) text += typeof value === 'string' ? value : (value(message, noStamp) ?? '');
    return JSON.stringify(text);
  };
}

function dataAs(json: CustomFormat['json']): Part {
  if (json === 'compact') return (message) => JSON.stringify(JSON.parse(message.data));
  if (json === 'minified') return (message) => minify(message.data);
  return (message) => message.data;
}

/** Takes the white space out from between the tokens of a JSON text and leaves every token as it is. */
function minify(json: string): string {
  if (!/[ \t\n\r]/.test(json)) return json;
  return json.replace(/"(?:[^"\\]+|\\.)*"|[ \t\n\r]+/g, (token) => (token.startsWith('"') ? token : ''));
}
