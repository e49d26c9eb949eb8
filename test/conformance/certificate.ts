// The library's own containers need its polyfill first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { X509Certificate } from '@peculiar/x509';

/** A company's own certification authority and what it made for a broker on loopback, as PEM files. */
export interface Certificates {
  caFile: string;
  certFile: string;
  keyFile: string;
  [Symbol.asyncDispose](): Promise<void>;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

/**
 * For `localhost` and `127.0.0.1`.
 * @param endsInMs ms until the end; in the past where it is negative
 * @param authorityName two that one program trusts need a name each, by which OpenSSL looks for them
 */
export async function makeCertificates(endsInMs = DAY_MS, authorityName = 'Postern test authority'): Promise<Certificates> {
  const notAfter = new Date(Date.now() + endsInMs);
  const validity = { notBefore: new Date(Math.min(Date.now(), notAfter.getTime()) - 60_000), notAfter };
  const [authority, server] = await Promise.all([newKeys(), newKeys()]);
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    name: `CN=${authorityName}`,
    serialNumber: '01',
    keys: authority,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const cert = await X509CertificateGenerator.create({
    ...validity,
    subject: 'CN=localhost',
    issuer: ca.subject,
    serialNumber: '02',
    publicKey: server.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  });
  const folder = await mkdtemp(join(tmpdir(), 'postern-tls-'));
  const file = async (name: string, pem: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, `${pem}\n`, { mode: 0o600 });
    return path;
  };
  return {
    caFile: await file('ca.pem', pem(ca)),
    certFile: await file('cert.pem', pem(cert)),
    keyFile: await file(
      'key.pem',
      PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', server.privateKey), PemConverter.PrivateKeyTag),
    ),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * Makes this whole process trust the authority, as NODE_EXTRA_CA_CERTS does from outside: clients are then used with
 * nothing but their domain changed.
 */
export function trustHere(caPem: string): void {
  setDefaultCACertificates([...getCACertificates('default'), caPem]);
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
const pem = (certificate: X509Certificate): string => certificate.toString('pem');
