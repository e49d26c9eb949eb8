import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run } from './run.ts';

const DEMO = 'dev/demo.ts';
const NOTHING: string[] = [];

interface Told {
  ok: boolean;
  seconds: number;
  pids: Record<string, number>;
  steps: { chapter: string; title: string; ok: boolean; detail: string; milliseconds: number }[];
  error?: string;
}

/** What `make demo` promises, in its own words. */
const STORY = [
  ['The embedded default', 'finding Vault', ''],
  ['The embedded default', 'starting Vault', ''],
  ['The embedded default', 'terraform apply for acme and globex', ''],
  ['The embedded default', 'starting the broker', ''],
  ['Olivia, an operator', 'logs in to Vault through Auth0', 'policy postern-operator'],
  ['acme, a customer', 'an envelope that opens once', 'a second opening is refused'],
  ['acme, a customer', 'orders: a token from Auth0', 'GET /orders 200, bound to acme'],
  ['acme, a customer', 'reports: a token from Postern', 'GET /reports 200'],
  ['globex, a customer', 'an envelope that opens once', 'a second opening is refused'],
  ['globex, a customer', 'orders: a token from Auth0', 'GET /orders 200, bound to globex'],
  ['globex, a customer', 'reports: a token from Postern', 'GET /reports 200'],
  ['Once more', 'from memory', 'Vault asked 0 times, Auth0 0 times'],
  ['Kept apart', 'can not get payroll', '403 access_denied; globex can'],
  ['Kept apart', 'opens no other API', 'GET /reports 401'],
  ['Kept apart', "can not read globex's tokens", 'Vault answers 403'],
  ['With an API key', 'its gateway asks Postern', '/verify 200, GET /orders 200'],
  ['With an API key', 'opens no orders', '/verify 403 insufficient_scope'],
  ['Revoked', 'revoked, and refused by the broker', '(promised: 2 s)'],
  ['Revoked', 'gets a new secret_id and is back', ''],
  ['Ursula, of acme', 'makes an API key of her own', 'key_'],
  ['Ursula, of acme', 'the token names her', 'sub auth0|ursula'],
  ['Ursula, of acme', 'leaves the company', '(promised: 10 s)'],
];

describe('the demo', () => {
  test('tells its story as JSON, in time, and leaves nothing behind', async () => {
    await using demo = run([DEMO, '--json']);
    expect(await demo.ended, demo.err()).toEqual({ code: 0, signal: null });
    const told = JSON.parse(demo.out()) as Told;
    expect(told.ok).toBe(true);
    expect(told.error).toBeUndefined();
    expect(told.steps.map(({ chapter, ok }) => [chapter, ok])).toEqual(STORY.map(([chapter]) => [chapter, true]));
    for (const [i, [, title, detail]] of STORY.entries()) {
      expect(told.steps[i]?.title).toContain(title);
      expect(told.steps[i]?.detail).toContain(detail);
      expect(told.steps[i]?.milliseconds).toBeGreaterThan(0);
    }
    // 20 s is the promise on a machine with nothing else to do; where others want the cores too, their share is allowed for.
    expect(told.seconds).toBeLessThan(20 * Math.max(1, loadavg()[0]! / availableParallelism()));
    expect(await demo.leftovers()).toEqual(NOTHING);
  });

  test('is a short plain text when it is not a terminal, and says how to go on', async () => {
    await using demo = run([DEMO]);
    expect((await demo.ended).code, demo.err()).toBe(0);
    expect(demo.out().split('\n').length).toBeLessThanOrEqual(60);
    expect(
      Math.max(
        ...demo
          .out()
          .split('\n')
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(120);
    expect(demo.out()).not.toContain('\u001B');
    expect(demo.out()).toContain('make dev');
    expect(demo.out()).toContain('. .postern/dev/env\n  curl -s $POSTERN_URL/oauth/token -d @.postern/dev/acme.form');
    expect(demo.out()).not.toContain('✗');
    expect(await demo.leftovers()).toEqual(NOTHING);
  });
});

describe('interrupted', () => {
  test.each([
    ['while it looks for parts', 'finding Vault', 'kill', 'SIGINT', 130],
    ['while Vault starts', 'starting Vault', 'press', 'SIGINT', 130],
    ['while Terraform applies', 'terraform apply', 'press', 'SIGINT', 130],
    ['while Terraform applies, by kill', 'terraform apply', 'kill', 'SIGTERM', 143],
    ['while the broker starts', 'starting the broker', 'press', 'SIGINT', 130],
    ['in the middle of the story', 'a customer', 'press', 'SIGINT', 130],
    ['when the terminal goes away', 'starting Vault', 'press', 'SIGHUP', 129],
  ] as const)('%s, it leaves nothing behind', async (_name, moment, how, signal, code) => {
    await using demo = run([DEMO]);
    await demo.until(moment);
    demo[how](signal);
    expect(await demo.ended, demo.err()).toEqual({ code, signal: null });
    expect(await demo.leftovers()).toEqual(NOTHING);
  });

  test('killed hard, its processes and files go, too', async () => {
    await using demo = run([DEMO]);
    await demo.until('a customer');
    demo.kill('SIGKILL');
    expect((await demo.ended).signal).toBe('SIGKILL');
    expect(await demo.leftovers()).toEqual(NOTHING);
  });
});

describe('when a part fails half-way', () => {
  test('it says which, exits 1 and leaves nothing behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-broken-'));
    const broken = join(folder, 'vault');
    writeFileSync(broken, '#!/bin/sh\ncase "$1" in *version) echo "Vault v1.21.2 (broken)";; *) exit 7;; esac\n');
    chmodSync(broken, 0o755);
    await using demo = run([DEMO], { env: { POSTERN_VAULT_BIN: broken } });
    expect((await demo.ended).code).toBe(1);
    expect(demo.err()).toContain('Vault ended while starting (code 7)');
    expect(demo.err()).not.toMatch(/^\s+at /m);
    expect(await demo.leftovers()).toEqual(NOTHING);
    rmSync(folder, { recursive: true });
  });
});
