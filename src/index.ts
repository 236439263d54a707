// The library's door: what `import … from 'posthorn'` gives.
import './library/node-version.ts';

export { createPosthorn } from './library/create-posthorn.ts';
export type { Posthorn } from './library/create-posthorn.ts';
export type { Backoff, PosthornOptions } from './library/options.ts';
export { lexigram } from './library/lexigram.ts';
export type { LexigramOptions } from './library/lexigram.ts';
export type { Err, Failure, FailureCode, Ok, Result } from './library/result.ts';
export type { Catalogue, DataOf, EventName } from './library/catalogue.ts';
export type {
  Subscription,
  SubscriptionFilter,
  SubscriptionInput,
  SubscriptionPatch,
} from './library/subscriptions.ts';
export type { Dispatched, Redelivery, WebhookEvent } from './library/deliveries.ts';
export type { AttemptListFilter, AttemptStatus, DeliveryAttempt } from './library/attempts.ts';
export type { DeadLetter } from './library/dead-letters.ts';
export { verify } from './library/verify.ts';
export type { Algorithm, VerifyInput } from './library/verify.ts';
export { DispatchError, webhookEvent } from './library/webhook-event.ts';
export type { WebhookEventOptions } from './library/webhook-event.ts';
export type { Handler, HandlerOptions } from './library/handler.ts';
export { ConfigError } from './config.ts';
export type { CustomFormat } from './wire/wire.ts';
