import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { expect, it } from 'vitest';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import { Peer } from '#broker/plugin/protocol/peer.ts';

it('is self-signed, for localhost, a CA, and good as server and as client', async () => {
  const made = await createCertificate(Date.UTC(2026, 0, 2, 3, 4, 5));
  const certificate = new X509Certificate(made.pem);
  expect(certificate.raw.equals(made.der)).toBe(true);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.checkIssued(certificate)).toBe(true);
  expect(certificate.checkHost('localhost')).toBe('localhost');
  expect(certificate.ca).toBe(true);
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  expect(certificate.keyUsage?.sort()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  expect([certificate.validFrom, certificate.validTo]).toEqual(['Jan  2 03:03:05 2026 GMT', 'Dec 26 03:04:05 2055 GMT']);

  const other = new x509.X509Certificate(made.pem);
  expect(await other.verify()).toBe(true);
  expect(other.getExtension(x509.KeyUsagesExtension)?.usages).toBe(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign);
  expect(other.getExtension(x509.BasicConstraintsExtension)).toMatchObject({ ca: true, critical: true });
  expect(() => createSecureContext({ cert: made.pem, key: made.keyPem })).not.toThrow();
});

it('is another each time, and well-formed each time', async () => {
  const made = await Promise.all(Array.from({ length: 50 }, () => createCertificate()));
  const serials = made.map(({ der }) => new X509Certificate(der).serialNumber);
  expect(new Set(serials).size).toBe(50);
  // RFC 5280 §4.1.2.2: positive, 20 bytes at most; and more than anybody guesses.
  for (const serial of serials) expect(serial).toMatch(/^[0-9A-F]{24,40}$/);
});

it('the year 2050 changes how a time is written', async () => {
  expect(new X509Certificate((await createCertificate(Date.UTC(2051, 5, 1))).der).validFrom).toBe('May 31 23:59:00 2051 GMT');
});

it('a peer is its own certificate and no other', async () => {
  const vault = await createCertificate();
  const peer = new Peer(vault.pem);
  expect(peer.is(vault.der)).toBe(true);
  expect(peer.is((await createCertificate()).der)).toBe(false);
  expect(peer.is(vault.der.subarray(0, -1))).toBe(false);
  expect(peer.is(undefined)).toBe(false);
  expect(() => new Peer('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')).toThrow(TypeError);
});
