import { apiKeyRoutes } from './api-keys.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import { deliveryRoutes } from './deliveries.ts';
import { errorPageRoutes } from './error-page.ts';
import { eventTypeRoutes } from './event-types.ts';
import { eventRoutes } from './events.ts';
import { grantivaRoutes } from './faces/grantiva.ts';
import { gravvRoutes } from './faces/gravv.ts';
import { healthRoutes } from './health.ts';
import { memberRoutes } from './members.ts';
import { planRoutes } from './plans.ts';
import type { Route } from './route.ts';
import { sessionRoutes } from './sessions.ts';
import { signupRoutes } from './signup.ts';
import { tenantRoutes } from './tenants.ts';
import { usageRoutes } from './usage.ts';
import { webhookRoutes } from './webhooks.ts';
import { whoamiRoutes } from './whoami.ts';

/** Every route of every face, in the order of the reference. */
export const routes: readonly Route[] = [
  ...eventRoutes,
  ...webhookRoutes,
  ...deliveryRoutes,
  ...deadLetterRoutes,
  ...eventTypeRoutes,
  ...tenantRoutes,
  ...signupRoutes,
  ...planRoutes,
  ...usageRoutes,
  ...memberRoutes,
  ...sessionRoutes,
  ...apiKeyRoutes,
  ...whoamiRoutes,
  ...healthRoutes,
  ...errorPageRoutes,
  ...grantivaRoutes,
  ...gravvRoutes,
];
