import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '#broker/log.ts';
import { readTlsPair } from '#broker/tls-pair.ts';
import type { TlsFiles, TlsPair } from '#broker/tls-pair.ts';
import { Certificates } from '#broker/wiring/certificates.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import type { Certificates as Made } from '#test/conformance/certificate.ts';

const HOUR_MS = 3_600_000;

let folder: string;
let files: TlsFiles;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-certificates-'));
  files = { cert: { setting: 'CERT', path: join(folder, 'tls.crt') }, key: { setting: 'KEY', path: join(folder, 'tls.key') } };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put({ certFile, keyFile }: Made): void {
  copyFileSync(certFile, files.cert.path);
  copyFileSync(keyFile, files.key.path);
}

/** What is in use, and what was told of it. */
function stage() {
  const used: TlsPair[] = [];
  const told: string[] = [];
  const log = createLog('warn', { write: (line: string) => void told.push(line) });
  const pair = readTlsPair(files);
  const certificates = new Certificates({ ...pair, files }, log, (next) => used.push(next));
  return { certificates, used, told, [Symbol.dispose]: () => certificates.stop() };
}

describe('a renewed certificate', () => {
  test('that has ended, or has not begun to be valid, does not replace a good one, and that is told once', async () => {
    await using good = await makeCertificates();
    await using ended = await makeCertificates(-HOUR_MS);
    put(good);
    using s = stage();
    put(ended);
    s.certificates.look();
    s.certificates.look();
    expect(s.used).toEqual([]);
    expect(s.told).toHaveLength(1);
    expect(s.told[0]).toContain('has expired');
  });

  test('is taken up where the one in use has ended, whatever its own time', async () => {
    await using ended = await makeCertificates(-HOUR_MS);
    await using later = await makeCertificates(-HOUR_MS / 2);
    put(ended);
    using s = stage();
    put(later);
    s.certificates.look();
    expect(s.used).toEqual([readTlsPair(files)]);
  });

  test('by a link that is turned, as Kubernetes and certbot do, is taken up', async () => {
    await using one = await makeCertificates();
    await using other = await makeCertificates();
    for (const [name, made] of [['a', one] as const, ['b', other] as const]) {
      mkdirSync(join(folder, name));
      copyFileSync(made.certFile, join(folder, name, 'tls.crt'));
      copyFileSync(made.keyFile, join(folder, name, 'tls.key'));
    }
    const turn = (to: string): void => {
      symlinkSync(to, join(folder, 'next'));
      renameSync(join(folder, 'next'), join(folder, 'now'));
    };
    turn('a');
    files = {
      cert: { setting: 'CERT', path: join(folder, 'now', 'tls.crt') },
      key: { setting: 'KEY', path: join(folder, 'now', 'tls.key') },
    };
    using s = stage();
    turn('b');
    s.certificates.look();
    expect(s.used.map(({ cert }) => cert.trim())).toEqual([readFileSync(other.certFile, 'utf8').trim()]);
  });

  test.each([
    ['empty', ''],
    ['cut off', '-----BEGIN CERTIFICATE-----\nMIIB'],
    ['something else', 'no PEM'],
  ])('that is %s keeps the old one', async (_what, text) => {
    await using good = await makeCertificates();
    put(good);
    using s = stage();
    writeFileSync(files.cert.path, text);
    s.certificates.look();
    rmSync(files.key.path);
    s.certificates.look();
    expect(s.used).toEqual([]);
    expect(s.told.length).toBeGreaterThan(0);
  });
});
