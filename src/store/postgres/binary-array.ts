/**
 * Arrays as PostgreSQL reads them in binary (array_recv): dimensions, whether there are nulls, the type, then every
 * element behind its length. A batch of thousands of values goes over as a few of these; as text, every quote of every
 * payload would have to be escaped here and unescaped there.
 */
const HEADER_BYTES = 20;
const TEXT = 25;
const INT8 = 20;
const INT4 = 23;
const FLOAT8 = 701;
const NULL = 0xffffffff;
/** Texts from so many characters on are measured, which costs less than room for the most they could take. */
const LONG_CHARS = 16_384;

/** Values of any characters. */
export function textArray(values: readonly (string | null)[]): Buffer {
  let bytes = HEADER_BYTES;
  for (const value of values) bytes += 4 + (value === null ? 0 : roomFor(value));
  const buffer = header(bytes, TEXT, values.length);
  let at = HEADER_BYTES;
  let hasNull = 0;
  for (const value of values) {
    if (value === null) {
      buffer.writeUInt32BE(NULL, at);
      at += 4;
      hasNull = 1;
    } else {
      const length = buffer.write(value, at + 4, 'utf8');
      buffer.writeUInt32BE(length, at);
      at += 4 + length;
    }
  }
  buffer[7] = hasNull;
  return buffer.subarray(0, values.length === 0 ? 12 : at);
}

function roomFor(text: string): number {
  return text.length < LONG_CHARS ? text.length * 3 : Buffer.byteLength(text);
}

/** Ids, tenants, statuses: texts of ASCII alone, which need no second look at their length. */
export function asciiArray(values: readonly (string | null)[]): Buffer {
  let bytes = HEADER_BYTES;
  for (const value of values) bytes += 4 + (value === null ? 0 : value.length);
  const buffer = header(bytes, TEXT, values.length);
  let at = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      buffer.writeUInt32BE(NULL, at);
      at += 4;
      buffer[7] = 1;
    } else {
      buffer.writeUInt32BE(value.length, at);
      buffer.write(value, at + 4, 'latin1');
      at += 4 + value.length;
    }
  }
  return buffer.subarray(0, values.length === 0 ? 12 : at);
}

/** Whole numbers of up to 53 bits, such as epoch milliseconds. */
export function int8Array(values: readonly (number | null)[]): Buffer {
  return numbers(values, INT8, 8, writeInt8);
}

export function int4Array(values: readonly (number | null)[]): Buffer {
  return numbers(values, INT4, 4, writeInt4);
}

export function float8Array(values: readonly (number | null)[]): Buffer {
  return numbers(values, FLOAT8, 8, writeFloat8);
}

/** Writes element `i`, which is a number: not the number itself, which would be put on the heap for that. */
type WriteNumber = (buffer: Buffer, values: readonly (number | null)[], i: number, at: number) => void;

const writeInt8: WriteNumber = (buffer, values, i, at) => {
  const value = values[i]!;
  buffer.writeInt32BE(Math.floor(value / 0x1_0000_0000), at);
  buffer.writeUInt32BE(value >>> 0, at + 4);
};

const writeInt4: WriteNumber = (buffer, values, i, at) => {
  buffer.writeInt32BE(values[i]!, at);
};

const writeFloat8: WriteNumber = (buffer, values, i, at) => {
  buffer.writeDoubleBE(values[i]!, at);
};

function numbers(values: readonly (number | null)[], type: number, size: number, write: WriteNumber): Buffer {
  const buffer = header(HEADER_BYTES + values.length * (4 + size), type, values.length);
  let at = HEADER_BYTES;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === null) {
      buffer.writeUInt32BE(NULL, at);
      at += 4;
      buffer[7] = 1;
    } else {
      buffer.writeUInt32BE(size, at);
      write(buffer, values, i, at + 4);
      at += 4 + size;
    }
  }
  return buffer.subarray(0, values.length === 0 ? 12 : at);
}

function header(bytes: number, type: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  buffer.writeUInt32BE(length === 0 ? 0 : 1, 0); // dimensions
  buffer.writeUInt32BE(0, 4);
  buffer.writeUInt32BE(type, 8);
  buffer.writeUInt32BE(length, 12);
  buffer.writeUInt32BE(1, 16); // the first index
  return buffer;
}
