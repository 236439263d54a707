import Type from 'typebox';
import { planFeatures } from '../model/tenant.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const limit = nullable(Type.Integer({ description: 'Null: any number.' }));

export const usageRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/usage',
    role: 'viewer',
    id: 'getUsage',
    tag: 'Plans',
    summary: 'What the tenant has used of its plan',
    answer: {
      status: 200,
      description: 'Plan and use.',
      schema: Type.Object(
        {
          plan: nullable(Type.String({ description: 'Name of the plan; null: no limits, every feature.' })),
          endpoints: Type.Object({ used: Type.Integer(), limit }),
          eventsToday: Type.Object(
            {
              used: Type.Integer(),
              limit,
              held: Type.Boolean({ description: 'True where what comes now is held until the day is over.' }),
              resetsAt: time('When the next day begins.'),
            },
            { description: 'Of the present UTC day.' },
          ),
          retentionDays: Type.Integer({ description: 'Days for which the history is kept; 0: for ever.' }),
          features: Type.Array(oneOf(planFeatures)),
        },
        { title: 'Usage' },
      ),
    },
    async handle({ api, tenantId }) {
      const { plan, endpoints, eventsToday, retentionDays, features } = await api.engine.tenants.usage(tenantId);
      const resetsAt = formatTime(eventsToday.resetsAt);
      return { plan, endpoints, eventsToday: { ...eventsToday, resetsAt }, retentionDays, features };
    },
  }),
];
