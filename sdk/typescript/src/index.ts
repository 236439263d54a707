export { Posthorn } from './client.ts';
export type { CallOptions, CreateOptions, PosthornOptions } from './connection.ts';
export { PosthornError } from './error.ts';
export type { ErrorCode, FieldError } from './error.ts';
export type { List } from './list.ts';
export type * from './types.ts';
// `Webhook` is the verifier here.
export type { Webhook as WebhookEndpoint } from './types.ts';
export type { FormatName, HashName, LexigramFormat } from './verify/formats.ts';
export type { WebhookHeaders } from './verify/headers.ts';
export type { Failure, FailureCode, FailureHint, Verification, WebhookEvent } from './verify/result.ts';
export { verifyWebhook, verifyWebhookAsync, verifyWebhookSignature, Webhook } from './verify/verify.ts';
export type { VerifyInput, VerifyOptions } from './verify/verify.ts';
