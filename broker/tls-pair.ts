import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { certificatesOf, pemBlocks, privateKeysOf } from './pem.ts';

/** PEM: a chain that begins with the certificate of the key. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** The two files, and the settings that name them. */
export interface TlsFiles {
  readonly cert: { readonly setting: string; readonly path: string };
  readonly key: { readonly setting: string; readonly path: string };
}

/** What is wrong with a file that a setting names, in words for the operator; never a part of what is in it. */
export class FileFault extends Error {
  override readonly name = 'FileFault';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('; '));
    this.faults = faults;
  }
}

/** What `read` gives; undefined where it meets a {@link FileFault}, whose words join `faults`. */
export function attempt<T>(faults: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}

/**
 * Reads a text file.
 * @throws {FileFault} with the code of the file system
 */
export function readText(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new FileFault([`${setting} cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
}

/**
 * The certificates of a file.
 * @throws {FileFault} unreadable, without one, cut off, or with one that can't be parsed
 */
export function readCertificates(setting: string, path: string): string {
  const text = readText(setting, path);
  const certificates = certificatesOf(text);
  if (certificates === '') throw new FileFault([`${setting} holds no certificate (PEM)`]);
  if (isCut(text)) throw new FileFault([`${setting} ends in the middle of a block (PEM)`]);
  try {
    if (pemBlocks(certificates).map(({ text }) => new X509Certificate(text)).length === 0) throw new Error('none');
  } catch {
    throw new FileFault([`${setting} holds a certificate that cannot be parsed`]);
  }
  return certificates;
}

/**
 * Reads a certificate and its key, and looks whether they belong together and can be served.
 * @throws {FileFault} with every fault
 */
export function readTlsPair({ cert, key }: TlsFiles): TlsPair {
  const faults: string[] = [];
  const pair = {
    cert: attempt(faults, () => readCertificates(cert.setting, cert.path)) ?? '',
    key: attempt(faults, () => readPrivateKey(key.setting, key.path)) ?? '',
  };
  if (faults.length === 0) {
    if (!new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)))
      faults.push(`${key.setting} is not the key of the first certificate in ${cert.setting}`);
    else if (!canServe(pair)) faults.push(`${cert.setting} and ${key.setting} are refused by OpenSSL, for a key that is too short, say`);
  }
  if (faults.length > 0) throw new FileFault(faults);
  return Object.freeze(pair);
}

/** Why nobody would accept the certificate now; undefined where its time is right. */
export function outOfTime(cert: string, now: number): string | undefined {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (Date.parse(validTo) <= now) return `has expired (${new Date(validTo).toISOString()})`;
  return Date.parse(validFrom) > now ? `is not valid before ${new Date(validFrom).toISOString()}` : undefined;
}

function readPrivateKey(setting: string, path: string): string {
  const text = readText(setting, path);
  const keys = privateKeysOf(text);
  if (keys === '') throw new FileFault([`${setting} holds no private key (PEM)`]);
  if (isCut(text)) throw new FileFault([`${setting} ends in the middle of a block (PEM)`]);
  try {
    createPrivateKey(keys);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const encrypted = code === 'ERR_MISSING_PASSPHRASE' || /ENCRYPTED/.test(keys);
    throw new FileFault([`${setting} holds a private key ${encrypted ? 'under a passphrase: give it without' : 'that cannot be parsed'}`]);
  }
  return keys;
}

/** A writer was at work: a block has begun and not ended. */
function isCut(text: string): boolean {
  return (text.match(/-----BEGIN /g)?.length ?? 0) !== (text.match(/-----END [A-Z0-9 .#-]+-----/g)?.length ?? 0);
}

function canServe({ cert, key }: TlsPair): boolean {
  try {
    createSecureContext({ cert, key, minVersion: 'TLSv1.2' });
    return true;
  } catch {
    return false;
  }
}
