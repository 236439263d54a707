import Type, { type Static } from 'typebox';
import type { EndpointInput, ImportInput } from '../delivery/engine.ts';
import { publicEndpointId } from '../delivery/message.ts';
import { badField, PosthornError, type FieldError } from '../errors.ts';
import { parseId, prefixes } from '../model/id.ts';
import { route, type ApiContext } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { parseTime } from './time.ts';
import { unknownName, validate } from './validate.ts';
import { endpointInput, webhookFields } from './webhook-json.ts';

const MAX_ROWS = 500;
/** The body, in multiples of the largest event: 2 KiB a row where that is 256 KiB. */
const BODIES = 4;
/** Of what is wrong with one row, this much is told. */
const MAX_FAULTS = 20;

const Row = Type.Object(
  {
    ...webhookFields,
    id: Type.Optional(
      nullable(
        Type.String({
          description: 'Kept: a UUID, `wh_…`, or any other visible ASCII of at most 128 characters. Absent: a new one.',
        }),
      ),
    ),
    previousSecret: Type.Optional(nullable(Type.String({ description: 'Signs too until `previousSecretExpiresAt`.' }))),
    previousSecretExpiresAt: Type.Optional(nullable(time('Until when the previous secret signs.'))),
    createdAt: Type.Optional(nullable(time('When it was made there; default now.'))),
  },
  { additionalProperties: false, title: 'WebhookImport' },
);
type Row = Static<typeof Row>;

interface Result {
  index: number;
  status: 'created' | 'exists' | 'invalid';
  id: string | null;
  /** Only where one was made because none was given. */
  secret?: string;
  errors: readonly FieldError[];
}

const ResultShown = Type.Object(
  {
    index: Type.Integer({ description: 'Place in the request, from 0.' }),
    status: oneOf(['created', 'exists', 'invalid']),
    id: nullable(Type.String({ description: 'As the webhook is called here; null for an invalid one.' })),
    secret: Type.Optional(
      Type.String({ description: 'The signing secret, where one was made because none was given; shown this once.' }),
    ),
    errors: Type.Array(Type.Object({ field: Type.String(), message: Type.String() })),
  },
  { title: 'WebhookImportResult' },
);

/** Takes webhooks over from another system, row by row: a bad one stops no other. */
export const importWebhooks = route({
  method: 'POST',
  path: '/v1/webhooks/import',
  role: 'owner',
  id: 'importWebhooks',
  tag: 'Webhooks',
  summary: 'Take webhooks over from another system',
  description:
    'They keep id, secrets, state and age, so that their receivers notice nothing. Each row stands for itself: a bad ' +
    'one stops no other, and one that is here already, the same, is left as it is; so it is safe to repeat. With ' +
    '`dryRun` everything is checked and nothing is kept.',
  body: Type.Object(
    {
      webhooks: Type.Array(Row, { minItems: 1, maxItems: MAX_ROWS }),
      dryRun: Type.Optional(Type.Boolean({ default: false })),
    },
    { additionalProperties: false },
  ),
  makesTenantItself: true,
  checksBodyItself: true,
  bodies: BODIES,
  example: {
    webhooks: [
      {
        id: '5f0c2a52-9f2b-4b7e-8a54-0f6f7a8d2c11',
        url: 'https://example.com/hook',
        events: ['order.*'],
        secret: 'a-secret-that-the-receiver-has',
        wireFormat: 'grantex',
        createdAt: '2024-05-01T09:00:00Z',
      },
    ],
    dryRun: true,
  },
  answer: {
    status: 200,
    description: 'What became of each.',
    schema: Type.Object({
      dryRun: Type.Boolean(),
      created: Type.Integer({ description: 'How many were made, or with `dryRun` would be.' }),
      existing: Type.Integer(),
      invalid: Type.Integer(),
      results: Type.Array(ResultShown),
    }),
  },
  async handle({ api, tenantId, body }) {
    const { rows, dryRun } = readEnvelope(body);
    if (!dryRun && !api.engine.tenants.find(tenantId)) await api.engine.tenants.create({ id: tenantId });
    const room = dryRun ? await roomOf(api, tenantId) : Infinity;
    const places = new Map<string, number>();
    // All at once, so that they share commits; in their order, so that a plan with room for some takes the first ones.
    const results = await Promise.all(
      rows.map(async (row, index): Promise<Result> => {
        try {
          validate(Row, row, 'webhook', JSON.stringify(row).length);
          const { id } = row as Row;
          if (id != null) claimId(places, id, index);
          return await importOne(api, tenantId, row as Row, index, dryRun);
        } catch (error) {
          return { index, status: 'invalid', id: null, errors: faultsOf(error) };
        }
      }),
    );
    let created = 0;
    for (const result of results) {
      if (result.status !== 'created') continue;
      if (created < room) created++;
      else results[result.index] = { index: result.index, status: 'invalid', id: null, errors: [NO_ROOM] };
    }
    const count = (wanted: Result['status']): number => results.filter(({ status }) => status === wanted).length;
    return { dryRun, created, existing: count('exists'), invalid: count('invalid'), results };
  },
});

async function importOne(api: ApiContext, tenantId: string, row: Row, index: number, dryRun: boolean): Promise<Result> {
  const { id, previousSecret, previousSecretExpiresAt, createdAt } = row;
  const input: ImportInput = {
    ...(endpointInput(row) as EndpointInput),
    ...(id === undefined ? {} : { id }),
    ...(previousSecret === undefined ? {} : { previousSecret }),
    ...(previousSecretExpiresAt == null ? {} : { previousSecretExpiresAt: parseTime(previousSecretExpiresAt) }),
    ...(createdAt == null ? {} : { createdAt: parseTime(createdAt) }),
  };
  const { status, endpoint } = await api.engine.endpoints.import(tenantId, input, { dryRun });
  const isMade = status === 'created' && !dryRun;
  return {
    index,
    status,
    // A dry run makes up no id that the real one would not give.
    id: isMade || id != null ? publicEndpointId(endpoint) : null,
    ...(isMade && row.secret == null ? { secret: endpoint.secrets[0]!.value } : {}),
    errors: [],
  };
}

function readEnvelope(body: unknown): { rows: readonly unknown[]; dryRun: boolean } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badField('body', 'must be an object like {"webhooks":[{"url":"https://…","events":["*"]}]}');
  }
  const { webhooks, dryRun = false } = body as Record<string, unknown>;
  const known = ['webhooks', 'dryRun'];
  const stranger = Object.keys(body).find((name) => !known.includes(name));
  if (stranger !== undefined) throw badField(stranger, unknownName(stranger, known));
  if (!Array.isArray(webhooks)) throw badField('webhooks', 'must be a list of webhooks');
  if (webhooks.length === 0) throw badField('webhooks', 'must have at least one webhook');
  if (webhooks.length > MAX_ROWS)
    throw badField('webhooks', `must have at most ${MAX_ROWS} webhooks; send more requests`);
  if (typeof dryRun !== 'boolean') throw badField('dryRun', 'must be true or false');
  return { rows: webhooks, dryRun };
}

/** Two spellings of one id are the same: a UUID in capitals, `wh_…`. */
function claimId(places: Map<string, number>, id: string, index: number): void {
  const spelledAlike = parseId(id, prefixes.endpoint) ?? id;
  const before = places.get(spelledAlike);
  if (before !== undefined) throw badField('id', `is that of webhooks[${before}] too; give each its own`);
  places.set(spelledAlike, index);
}

/** Webhooks that the plan has room for now: a dry run keeps none, and so the engine sees each as the first. */
async function roomOf({ engine }: ApiContext, tenantId: string): Promise<number> {
  // A dry run makes no tenant: one that is not there yet would have the default plan.
  if (!engine.tenants.find(tenantId)) {
    return engine.plans.list().find(({ isDefault }) => isDefault)?.endpointLimit ?? Infinity;
  }
  const { used, limit } = (await engine.tenants.usage(tenantId)).endpoints;
  return limit === null ? Infinity : limit - used;
}

const NO_ROOM: FieldError = { field: 'plan', message: 'has no room for this one beside those before it' };

/** What is wrong with a row. Throws on what is wrong with more than that: no store, no memory. */
function faultsOf(error: unknown): readonly FieldError[] {
  if (!(error instanceof PosthornError) || error.status >= 500) throw error;
  if (error.fields.length > 0) return error.fields.slice(0, MAX_FAULTS);
  const field = { ALREADY_EXISTS: 'id', PLAN_LIMIT_EXCEEDED: 'plan', PLAN_FEATURE_REQUIRED: 'plan' }[
    error.code as string
  ];
  return [{ field: field ?? 'webhook', message: error.message }];
}
