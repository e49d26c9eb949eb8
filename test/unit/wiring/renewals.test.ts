import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from '#broker/log.ts';
import { readTlsPair } from '#broker/tls-pair.ts';
import type { TlsFiles, TlsPair } from '#broker/tls-pair.ts';
import { readProxies } from '#broker/trusted-proxies.ts';
import { certificateRenewal, proxiesRenewal } from '#broker/wiring/renewals.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import type { Certificates as Made } from '#test/conformance/certificate.ts';

const HOUR_MS = 3_600_000;

let folder: string;
let files: TlsFiles;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-renewals-'));
  files = { cert: { setting: 'CERT', path: join(folder, 'tls.crt') }, key: { setting: 'KEY', path: join(folder, 'tls.key') } };
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true, force: true });
});

function put({ certFile, keyFile }: Made): void {
  copyFileSync(certFile, files.cert.path);
  copyFileSync(keyFile, files.key.path);
}

/** What is in use, and what was told of it; from here on time goes only by `vi`. */
function stage() {
  const used: TlsPair[] = [];
  const told: string[] = [];
  const log = createLog('warn', { write: (line: string) => void told.push(line) });
  vi.useFakeTimers();
  const renewal = certificateRenewal({ ...readTlsPair(files), files }, log, (next) => used.push(next));
  const look = (): void => {
    renewal.look();
    vi.advanceTimersByTime(1_000);
  };
  return { renewal, look, used, told, [Symbol.dispose]: () => renewal.stop() };
}

describe('a renewed certificate', () => {
  test('that has ended, or has not begun to be valid, does not replace a good one, and that is told once', async () => {
    await using good = await makeCertificates();
    await using ended = await makeCertificates(-HOUR_MS);
    put(good);
    using s = stage();
    put(ended);
    s.look();
    s.look();
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
    s.look();
    expect(s.used).toEqual([readTlsPair(files)]);
  });

  test('by a link that is turned, as Kubernetes and certbot do, is taken up within a minute, unasked', async () => {
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
    vi.advanceTimersByTime(60_000);
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
    s.look();
    rmSync(files.key.path);
    s.look();
    expect(s.used).toEqual([]);
    expect(s.told.length).toBeGreaterThan(0);
  });

  test('whose writer is at work is not looked at: between two blocks of a chain, between certificate and key', async () => {
    await using old = await makeCertificates();
    await using next = await makeCertificates();
    await using authority = await makeCertificates();
    const chain = (made: Made): string => readFileSync(made.certFile, 'utf8') + readFileSync(authority.certFile, 'utf8');
    writeFileSync(files.cert.path, chain(old));
    copyFileSync(old.keyFile, files.key.path);
    using s = stage();
    // The first certificate of the new chain, with the old key; half a second later its own key.
    copyFileSync(next.certFile, files.cert.path);
    s.renewal.look();
    vi.advanceTimersByTime(500);
    copyFileSync(next.keyFile, files.key.path);
    // It fits now, and the chain lacks what comes after a writer's pause.
    s.look();
    s.look();
    expect(s.used).toEqual([]);
    writeFileSync(files.cert.path, chain(next));
    s.look();
    expect(s.used.map(({ cert }) => cert.match(/BEGIN/g)?.length)).toEqual([2]);
    expect(s.told).toEqual([]);
  });

  test('with a chain that is shorter on purpose is taken up within a minute', async () => {
    await using old = await makeCertificates();
    await using next = await makeCertificates();
    writeFileSync(files.cert.path, readFileSync(old.certFile, 'utf8').repeat(2));
    copyFileSync(old.keyFile, files.key.path);
    using s = stage();
    put(next);
    vi.advanceTimersByTime(60_000);
    expect(s.used).toEqual([readTlsPair(files)]);
  });
});

describe('a renewed list of trusted proxies', () => {
  test('joins those of the variable; a bad one keeps the old, and says so once; a range that is being written is not believed', () => {
    const path = join(folder, 'proxies');
    writeFileSync(path, '10.0.0.0/16\n');
    const used: (readonly string[])[] = [];
    const told: string[] = [];
    const log = createLog('warn', { write: (line: string) => void told.push(line) });
    vi.useFakeTimers();
    const renewal = proxiesRenewal(path, { given: ['192.0.2.1'], inFile: readProxies('X', path) }, log, (ranges) => used.push(ranges));
    const look = (text: string, ms: number): void => {
      writeFileSync(path, text);
      renewal.look();
      vi.advanceTimersByTime(ms);
    };
    look('10.0.0.0/1', 500);
    look('10.0.0.0/12\n', 1_000);
    expect(used).toEqual([['192.0.2.1', '10.0.0.0/12']]);
    look('proxy.example.com\n', 30_000);
    look('', 1_000);
    rmSync(path);
    renewal.look();
    vi.advanceTimersByTime(1_000);
    expect(used).toHaveLength(1);
    expect(told).toHaveLength(3);
    expect(told.join()).toContain('POSTERN_TRUSTED_PROXIES_FILE must hold addresses');
    expect(told.join()).not.toContain('proxy.example.com');
    renewal.stop();
  });
});
