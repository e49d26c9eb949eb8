/** Why there was no answer at an address, in an operator's words. */
export interface Silence {
  /** Completes "it cannot be reached: …". */
  readonly why: string;
  /** What to do; undefined where only the caller knows. */
  readonly remedy: string | undefined;
}

const UNKNOWN_CA = 'its certificate is signed by a CA that this machine does not trust';
const TRUST = 'Something answers, and is not to blame: name the PEM file of its CA in --cacert (VAULT_CACERT), or in NODE_EXTRA_CA_CERTS.';
const SCHEME = 'Is it http or https? Look at the scheme and the port of the address.';

/** OpenSSL's and Node's codes (nodejs.org/api/tls.html, "X509 certificate error codes"; nodejs.org/api/errors.html), and undici's. */
const CODES: Readonly<Record<string, Silence>> = {
  SELF_SIGNED_CERT_IN_CHAIN: { why: UNKNOWN_CA, remedy: TRUST },
  DEPTH_ZERO_SELF_SIGNED_CERT: { why: 'its certificate is signed by itself, which this machine does not trust', remedy: TRUST },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { why: UNKNOWN_CA, remedy: `${TRUST} Or does it leave out the certificates in between?` },
  UNABLE_TO_GET_ISSUER_CERT: { why: UNKNOWN_CA, remedy: TRUST },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { why: UNKNOWN_CA, remedy: TRUST },
  CERT_UNTRUSTED: { why: UNKNOWN_CA, remedy: TRUST },
  INVALID_CA: { why: 'its certificate is signed by one that is no CA', remedy: 'Make it anew: the signing certificate needs CA:TRUE.' },
  CERT_SIGNATURE_FAILURE: {
    why: 'its certificate is not signed by the CA that is trusted under that name',
    remedy: 'The CA was made anew, perhaps: name the file of the present one in --cacert (VAULT_CACERT).',
  },
  CERT_HAS_EXPIRED: { why: 'its certificate has expired', remedy: "Renew it there; or is this machine's clock ahead?" },
  CERT_NOT_YET_VALID: { why: 'its certificate is not valid yet', remedy: "Is this machine's clock behind?" },
  CERT_REVOKED: { why: 'its certificate is revoked', remedy: 'Renew it there.' },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    why: 'its certificate is for another name',
    remedy: 'Ask it by a name in the certificate, or have one made with this name (subjectAltName).',
  },
  EPROTO: { why: 'it speaks no TLS that this machine understands', remedy: SCHEME },
  ERR_SSL_WRONG_VERSION_NUMBER: { why: 'it speaks no TLS', remedy: SCHEME },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: { why: 'it speaks no TLS', remedy: SCHEME },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: { why: 'it asks for a client certificate', remedy: 'Ask it behind what wants that.' },
  HPE_INVALID_CONSTANT: { why: 'what answers speaks no HTTP', remedy: SCHEME },
  ENOTFOUND: { why: 'its name is not known to DNS', remedy: 'Is the name right, and is it known on this machine?' },
  EAI_AGAIN: { why: 'DNS does not answer', remedy: 'Is the name right, and does this machine have a resolver?' },
  ECONNREFUSED: { why: 'nothing listens there', remedy: undefined },
  ECONNRESET: { why: 'the connection was cut', remedy: `${SCHEME} Or something in between refuses this machine.` },
  UND_ERR_SOCKET: { why: 'the connection was cut', remedy: `${SCHEME} Or something in between refuses this machine.` },
  EHOSTUNREACH: { why: 'there is no way to it from here', remedy: 'A firewall or a missing route: try it from another machine.' },
  ENETUNREACH: { why: 'there is no way to it from here', remedy: 'A firewall or a missing route: try it from another machine.' },
  UND_ERR_CONNECT_TIMEOUT: { why: 'no connection came about in time', remedy: 'A firewall, perhaps: try it from another machine.' },
  ETIMEDOUT: { why: 'no connection came about in time', remedy: 'A firewall, perhaps: try it from another machine.' },
  UND_ERR_HEADERS_TIMEOUT: { why: 'it did not answer in time', remedy: undefined },
};

/** @param code as Node's and undici's errors have it */
export function silenceOfCode(code: string | undefined): Silence | undefined {
  return code !== undefined && Object.hasOwn(CODES, code) ? CODES[code] : undefined;
}

/** @param error what `fetch`, `node:http` or `node:https` threw; nothing of it but its name and its codes is looked at */
export function silenceOf(error: unknown): Silence {
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth += 1) {
    const known = silenceOfCode(codeOf(one));
    if (known !== undefined) return known;
    // Of several addresses of a name each has its own error.
    if (one instanceof AggregateError) {
      const first = one.errors.map((each) => silenceOfCode(codeOf(each))).find((each) => each !== undefined);
      if (first !== undefined) return first;
    }
    if (one.name === 'TimeoutError') return { why: 'it did not answer in time', remedy: undefined };
    if (one.message === 'unexpected redirect')
      return { why: 'it redirects, which is not followed', remedy: 'Name the address that it redirects to (curl -sI shows it).' };
  }
  return { why: 'no answer came', remedy: undefined };
}

function codeOf(error: unknown): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
