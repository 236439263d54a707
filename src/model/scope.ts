/** What a key can be narrowed to. A route without a scope is closed to keys that have any. */
export const scopes = [
  'events:read',
  'events:write',
  'webhooks:read',
  'webhooks:write',
  'webhooks:delete',
  'webhooks:test',
  'deliveries:read',
  'deliveries:write',
  'event-types:read',
  'event-types:write',
] as const;
export type Scope = (typeof scopes)[number];
