import Type, { type Static, type TSchema } from 'typebox';

/** Pieces that the schemas of several resources are made of. */

/** The same, or null. */
export function nullable<Schema extends TSchema>(
  schema: Schema,
): ReturnType<typeof Type.Unsafe<Static<Schema> | null>> {
  const { type, enum: words } = schema as { type?: string; enum?: readonly unknown[] };
  if (type === undefined) throw new Error('only a schema with one type can be made nullable');
  return Type.Unsafe<Static<Schema> | null>({
    ...schema,
    type: [type, 'null'],
    ...(words === undefined ? {} : { enum: [...words, null] }),
  });
}

/** One of these words. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  options: object = {},
): ReturnType<typeof Type.Unsafe<Word>> {
  return Type.Unsafe<Word>({ type: 'string', enum: words, ...options });
}

export function time(description: string): ReturnType<typeof Type.String> {
  return Type.String({
    format: 'date-time',
    description,
    'x-rule': 'must be a time like "2026-01-31T12:00:00Z" (RFC 3339)',
  });
}

export function duration(description: string): ReturnType<typeof Type.String> {
  return Type.String({
    description,
    pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)$',
    maxLength: 32,
    'x-rule': 'must be a duration like "250ms", "10s", "5m", "2h" or "1d"',
  });
}

/** Query parameters that choose by time. */
export const timeRange = {
  from: Type.Optional(time('Only from this time on.')),
  to: Type.Optional(time('Only before this time.')),
};

export const wireFormatWords =
  'Name of a preset (`standard`, `standard-ed25519`, `grantex`, `grantiva`, `gravv`, `lexigram`), or a format of your own.';

export const WireFormat = Type.Unsafe<string | object>({ type: ['string', 'object'], description: wireFormatWords });

/** The number of deliveries that an action set going. */
export const DeliveryCount = Type.Object({ deliveries: Type.Integer({ description: 'How many deliveries.' }) });
