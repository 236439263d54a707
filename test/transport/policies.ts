import type { GuardPolicy } from '../../src/transport/transport.ts';

/** What `serve` starts with: public https on 443 and 8443. */
export const production: GuardPolicy = {
  allowHttp: false,
  allowLoopback: false,
  allowCidrs: [],
  allowPorts: [],
  allowAnyPort: false,
};

/** What `dev` starts with: http, loopback and any port beside it. */
export const development: GuardPolicy = { ...production, allowHttp: true, allowLoopback: true, allowAnyPort: true };
