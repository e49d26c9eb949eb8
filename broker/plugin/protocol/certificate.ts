import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/**
 * This process's certificate for its one life, X.509 v3 by RFC 5280: P-256, self-signed, for `localhost`, as server and
 * (dialling back to Vault) as client. Written here because the libraries that make certificates take a tenth of the
 * second in which a plugin should answer; a test reads it back with two of them.
 */
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

export function createCertificate(now: number = Date.now()): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(set(sequence(oid(OID.commonName), tlv(TAG.utf8, Buffer.from('localhost')))));
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name,
    sequence(time(now - BEFORE), time(now + LIFETIME)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(
      3,
      sequence(
        extension(OID.subjectAltName, sequence(tlv(TAG.dnsName, Buffer.from('localhost')))),
        // It is its own issuer.
        extension(OID.basicConstraints, sequence(TRUE), true),
        // digitalSignature and keyCertSign: bits 0 and 5.
        extension(OID.keyUsage, tlv(TAG.bitString, Buffer.from([2, 0b1000_0100])), true),
        extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      ),
    ),
  );
  const der = sequence(body, algorithm, bitString(sign('sha256', body, privateKey)));
  return {
    der,
    pem: `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  explicit: 0xa0,
  dnsName: 0x82,
} as const;

/** Object identifiers as DER holds them. */
const OID = {
  commonName: '550403',
  ecdsaWithSha256: '2a8648ce3d040302',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
  clientAuth: '2b06010505070302',
} as const;

/** One DER value: tag, length, content (ITU-T X.690). */
function tlv(tag: number, content: Buffer): Buffer {
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: Buffer[]): Buffer => tlv(TAG.sequence, Buffer.concat(parts));
const set = (...parts: Buffer[]): Buffer => tlv(TAG.set, Buffer.concat(parts));
const explicit = (tag: number, content: Buffer): Buffer => tlv(TAG.explicit + tag, content);
const oid = (hex: string): Buffer => tlv(TAG.oid, Buffer.from(hex, 'hex'));
const bitString = (content: Buffer): Buffer => tlv(TAG.bitString, Buffer.concat([Buffer.from([0]), content]));
const TRUE = tlv(TAG.boolean, Buffer.from([0xff]));

/** Positive, and of the shortest form: neither 0x00 nor a set sign bit at its head. */
function integer(content: Buffer): Buffer {
  const positive = Buffer.from(content);
  if (positive.length > 1) positive[0] = (positive[0]! & 0x7f) | 0x40;
  return tlv(TAG.integer, positive);
}

/** RFC 5280 4.1.2.5: two digits of the year through 2049, four from then on. */
function time(at: number): Buffer {
  const digits = new Date(at).toISOString().replace(/[-:T]|\.\d{3}/g, '');
  return digits < '2050' ? tlv(TAG.utcTime, Buffer.from(digits.slice(2))) : tlv(TAG.generalizedTime, Buffer.from(digits));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), tlv(TAG.octetString, value));
}
