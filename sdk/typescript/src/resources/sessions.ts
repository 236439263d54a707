import type { CallOptions } from '../connection.ts';
import { Resource, type Answer, type Body } from '../resource.ts';

/** What lets a member in with a browser: a cookie. */
export class Sessions extends Resource {
  /** For the member named, or that of the personal key. `token` is in this answer and in no other. */
  create(body: Body<'POST /v1/sessions'> = {}, options?: CallOptions): Promise<Answer<'POST /v1/sessions'>> {
    return this.connection.call('POST /v1/sessions', { body }, options);
  }

  /** Ends the session of the request's cookie: the browser's, or one given in `headers`. */
  async end(options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/session', {}, options);
  }
}
