import { createPrivateKey, randomUUID } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { PosternError } from '#broker/error.ts';
import { pemBlocks } from '#broker/pem.ts';

export interface AssertionSigner {
  clientId: string;
  /** PEM. */
  privateKey: string;
  kid: string | undefined;
}

/** Seconds; the broker takes 300 at most. */
const LIFE = 60;

/** Signs an assertion for one request (RFC 7523 §3). @throws {PosternError} invalid_request where no broker takes a key of this kind */
export async function signAssertion({ clientId, privateKey, kid }: AssertionSigner, issuer: string): Promise<string> {
  const key = privateKeyOf(privateKey);
  return new SignJWT()
    .setProtectedHeader({ alg: algorithmOf(key), typ: 'JWT', ...(kid === undefined ? {} : { kid }) })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(issuer)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${LIFE}s`)
    .sign(key);
}

function privateKeyOf(pem: string): KeyObject {
  // What openssl writes before a key, its parameters or a certificate, may stay in the file.
  const block = pemBlocks(pem).find(({ label }) => label.endsWith('PRIVATE KEY'));
  try {
    return createPrivateKey(block?.text ?? pem);
  } catch {
    throw new PosternError('invalid_request', 'This is not a private key', {
      detail: 'A PEM file without a passphrase: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem',
    });
  }
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): 'RS256' | 'ES256' {
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return 'RS256';
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  throw new PosternError('invalid_request', 'The broker takes no key of this kind', { detail: 'RSA of 2048 bits and more, or EC P-256.' });
}
