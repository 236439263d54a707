import type { FailureReason } from './transport.ts';

/** A named failure with the operator's detail. */
export interface Failure {
  reason: FailureReason;
  detail: string;
}

/** What an exchange is busy with. A deadline that strikes is named after it. */
export type Phase = 'dns' | 'connect' | 'tls' | 'exchange';

/** The reason when the one deadline strikes in a phase. */
export const timeoutReasons: Record<Phase, FailureReason> = {
  dns: 'dns_timeout',
  connect: 'connect_timeout',
  tls: 'tls_timeout',
  exchange: 'timeout',
};

interface ReasonTable {
  fallback: FailureReason;
  codes: Record<string, FailureReason>;
}

/** One table per phase: error code of Node, OpenSSL or c-ares → reason. What is not listed gets the fallback. */
const tables: Record<Phase, ReasonTable> = {
  dns: {
    fallback: 'dns_failed',
    codes: {
      ENOTFOUND: 'dns_not_found',
      ENODATA: 'dns_not_found',
      EBADNAME: 'dns_not_found',
      ETIMEOUT: 'dns_timeout',
      ECANCELLED: 'cancelled',
    },
  },
  connect: {
    fallback: 'connect_unreachable',
    codes: {
      ECONNREFUSED: 'connect_refused',
      ETIMEDOUT: 'connect_timeout',
      ECONNRESET: 'connect_reset',
      EPIPE: 'connect_reset',
    },
  },
  tls: {
    fallback: 'tls_failed',
    codes: {
      CERT_HAS_EXPIRED: 'tls_expired',
      ERR_TLS_CERT_ALTNAME_INVALID: 'tls_wrong_host',
      CERT_CHAIN_TOO_LONG: 'tls_untrusted',
      CERT_NOT_YET_VALID: 'tls_untrusted',
      CERT_REJECTED: 'tls_untrusted',
      CERT_REVOKED: 'tls_untrusted',
      CERT_SIGNATURE_FAILURE: 'tls_untrusted',
      CERT_UNTRUSTED: 'tls_untrusted',
      DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_untrusted',
      INVALID_CA: 'tls_untrusted',
      INVALID_PURPOSE: 'tls_untrusted',
      PATH_LENGTH_EXCEEDED: 'tls_untrusted',
      SELF_SIGNED_CERT_IN_CHAIN: 'tls_untrusted',
      UNABLE_TO_GET_ISSUER_CERT: 'tls_untrusted',
      UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls_untrusted',
      UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls_untrusted',
    },
  },
  exchange: { fallback: 'reset', codes: {} },
};

/** Names an error by the phase it came in. `where` (an address and port, a host) goes into the detail. */
export function nameFailure(phase: Phase, error: unknown, where: string): Failure {
  const { code, message } = describe(error);
  const { codes, fallback } = tables[phase];
  const reason = codes[code] ?? fallback;
  const what = code === '' || message.startsWith(code) ? message : `${code} ${message}`;
  return { reason, detail: `${shorten(what)} ${where}`.trim() };
}

/** The connect failure that tells most: an answer (refused, reset) over silence, silence over "no route". */
export function mostTelling(failures: readonly Failure[]): Failure {
  const order: FailureReason[] = ['blocked_destination', 'connect_refused', 'connect_reset', 'connect_timeout'];
  const rank = (failure: Failure): number => (order.indexOf(failure.reason) + order.length + 1) % (order.length + 1);
  const [best] = [...failures].sort((a, b) => rank(a) - rank(b));
  const detail = failures.map((failure) => failure.detail).join(', ');
  return { reason: best?.reason ?? 'connect_unreachable', detail };
}

function describe(error: unknown): { code: string; message: string } {
  if (!(error instanceof Error)) {
    return { code: '', message: String(error) };
  }
  const { code, syscall } = error as NodeJS.ErrnoException;
  // A system error's message repeats code and address ("connect ECONNREFUSED 10.0.0.1:443"): the code says it all.
  const message = typeof code === 'string' && typeof syscall === 'string' ? code : error.message;
  return { code: typeof code === 'string' ? code : '', message };
}

/** OpenSSL's messages run over lines and name source files; the first 200 characters tell. */
function shorten(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 200);
}
