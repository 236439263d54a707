import { Type } from 'typebox';
import type { Static } from 'typebox';

const TOKEN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$";
const HeaderName = Type.String({
  pattern: TOKEN,
  description: 'A header name, sent in exactly this letter case.',
});

const SignatureSchema = Type.Object(
  {
    header: HeaderName,
    algorithm: Type.Enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512', 'ed25519'], {
      description: 'HMAC with a secret that both sides hold, or ed25519, whose receivers hold a public key only.',
    }),
    encoding: Type.Enum(['hex', 'base64'], { description: 'How the signature is spelled; hex is lower case.' }),
    value: Type.Optional(
      Type.String({
        maxLength: 100,
        default: '{signature}',
        description: "One secret's signature as it stands in the header: `sha256={signature}`, `v1,{signature}`.",
      }),
    ),
    lead: Type.Optional(
      Type.String({
        maxLength: 200,
        description: 'Text once before the signatures, such as `t={attempt.at.unix},`.',
      }),
    ),
    signed: Type.String({
      maxLength: 500,
      description: 'The text that is signed; holds `{body}` once: `{body}`, `{event.id}.{attempt.at.unix}.{body}`.',
    }),
    secretEncoding: Type.Optional(
      Type.Enum(['utf8', 'base64', 'hex', 'whsec', 'whsk'], {
        description:
          "How the secret's text becomes the key: its own bytes, decoded base64 or hex, `whsec_` and base64 of 24 to 64 bytes, or, for ed25519 and only there, `whsk_` and base64 of 32 or 64 bytes. Default: `utf8` with HMAC, `whsk` with ed25519.",
      }),
    ),
    rotation: Type.Optional(
      Type.Enum(['list', 'alternate', 'oldest', 'newest'], {
        default: 'alternate',
        description:
          'While two secrets are live: `list` puts both signatures into the header; the others put one there and the rest into `alternateHeader`. `alternate` signs odd attempts with the oldest secret and even ones with the newest, so that a receiver that compares one value verifies at its second attempt at the latest.',
      }),
    ),
    separator: Type.Optional(
      Type.Enum([' ', ',', ', ', ';', '|'], {
        description:
          'Between several signatures in one header. Default: a space, or a comma where `value` has a space.',
      }),
    ),
    alternateHeader: Type.Optional(
      Type.String({
        pattern: TOKEN,
        description:
          "The header for the other live secrets' signatures. Default: the name in `header` and `-Alternate`.",
      }),
    ),
  },
  { additionalProperties: false },
);

/**
 * A wire format declared as data: which bytes are sent, with which headers, signed how. The presets are values of this
 * type too. What a schema cannot say (which placeholders may stand where) is checked by `compileWireFormat`.
 */
export const CustomFormatSchema = Type.Object(
  {
    body: Type.Union([Type.Literal('{event.data}'), Type.Record(Type.String({ maxLength: 100 }), Type.Unknown())], {
      description:
        'A JSON object whose strings may hold placeholders (`{event.type}`, `{event.data}`), or `"{event.data}"` alone for the payload and nothing around it.',
    }),
    json: Type.Optional(
      Type.Enum(['verbatim', 'minified', 'compact'], {
        default: 'verbatim',
        description:
          "The payload's text: as published; without the white space between its tokens; or as `JSON.stringify(JSON.parse(text))` gives it, which also rewrites numbers and escapes.",
      }),
    ),
    contentType: Type.Optional(
      Type.String({
        pattern: '^[!-~]+/[!-~]+(; ?[!-~]+)*$',
        maxLength: 100,
        default: 'application/json',
      }),
    ),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 200 }), {
        maxProperties: 16,
        description:
          'More headers; their values may hold placeholders. One whose placeholder has no value is left out.',
      }),
    ),
    signatures: Type.Array(SignatureSchema, { minItems: 1, maxItems: 4 }),
    newSecret: Type.Optional(
      Type.Enum(['whsec', 'hex', 'base64', 'whsk'], {
        description:
          'The shape of secrets made for this format: 32 random bytes, or with `whsk` an ed25519 key pair. Default: one that every signature can use.',
      }),
    ),
  },
  { additionalProperties: false, title: 'CustomWireFormat' },
);

export type CustomFormat = Static<typeof CustomFormatSchema>;
export type SignatureSpec = CustomFormat['signatures'][number];
