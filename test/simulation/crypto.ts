import nodeCrypto, { createHash } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/**
 * To sign by RSA takes a millisecond, and WebCrypto works on threads that come back when they like: no simulation can be played
 * again with it. So signatures of the simulation are a digest under a name; jose and what is above it are the real ones.
 */
const KID = 'simulated';

let installed: Promise<void> | undefined;

/** For the whole process, once. */
export function simulateSignatures(): Promise<void> {
  return (installed ??= install());
}

async function install(): Promise<void> {
  // Thousands of errors are made and looked at by their code alone.
  Error.stackTraceLimit = 0;
  const { publicKey } = await crypto.subtle.generateKey(
    { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    true,
    ['sign', 'verify'],
  );
  JWK = { ...(await crypto.subtle.exportKey('jwk', publicKey)), kid: KID, alg: 'RS256', use: 'sig' };
  Object.assign(crypto.subtle, { importKey: () => Promise.resolve(publicKey) });
  Object.assign(nodeCrypto, {
    verify: (_how: unknown, data: Buffer, _key: unknown, signature: Buffer) => signature.equals(signatureOf(data.toString('latin1'))),
  });
  // For whoever has imported it by its name.
  syncBuiltinESMExports();
}

/** The public key as an issuer publishes it. */
export let JWK: object = {};

function signatureOf(text: string): Buffer {
  return createHash('sha256').update(`simulated ${text}`).digest();
}

export function signedJwt(claims: object): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${encode({ alg: 'RS256', typ: 'JWT', kid: KID })}.${encode(claims)}`;
  return `${input}.${signatureOf(input).toString('base64url')}`;
}

export function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
}
