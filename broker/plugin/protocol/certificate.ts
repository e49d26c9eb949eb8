// tsyringe, which the library is built on, asks for it.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
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

/** X.509 v3 by RFC 5280: P-256, self-signed, for `localhost`, as server and (dialling back to Vault) as client. */
export interface Certificate {
  readonly der: Buffer;
  readonly pem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

/** Vault may have a clock a little behind ours. ms */
const BEFORE = 60_000;
/** As go-plugin's own: nothing renews it while the process lives. ms */
const LIFETIME = 30 * 365 * 86_400_000;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** This process's certificate for its one life. */
export async function createCertificate(now: number = Date.now()): Promise<Certificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=localhost',
      notBefore: new Date(now - BEFORE),
      notAfter: new Date(now + LIFETIME),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
        // It is its own issuer.
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ],
    },
    webcrypto as typeof globalThis.crypto,
  );
  return {
    der: Buffer.from(certificate.rawData),
    pem: certificate.toString('pem'),
    keyPem: PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
  };
}
