import { apiKeyRoutes } from './api-keys.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import { deliveryRoutes } from './deliveries.ts';
import { eventTypeRoutes } from './event-types.ts';
import { eventRoutes } from './events.ts';
import { healthRoutes } from './health.ts';
import type { Route } from './route.ts';
import { tenantRoutes } from './tenants.ts';
import { webhookRoutes } from './webhooks.ts';

/** Every route of the native API, in the order of its reference. */
export const routes: readonly Route[] = [
  ...eventRoutes,
  ...webhookRoutes,
  ...deliveryRoutes,
  ...deadLetterRoutes,
  ...eventTypeRoutes,
  ...tenantRoutes,
  ...apiKeyRoutes,
  ...healthRoutes,
];
