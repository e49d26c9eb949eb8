import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findGateway } from '#test/part/gateway.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout } from '#tools/part/version.ts';
import { ELSEWHERE, NEVER, RUN } from './docs.commands.ts';
import type { Block } from './docs.commands.ts';
import { run } from './run.ts';
import type { Run } from './run.ts';
import { takeTurn } from './turn.ts';

interface Addresses {
  broker: string;
  admin: string;
  service: string;
  vault: string;
  rootTokenFile: string;
  operator_file: string;
  gateway: string;
  logs: { broker: string };
  tenants: Record<string, { client_id: string; form_file: string; key_file: string }>;
}

const FILES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(checkout, 'docs')).map((file) => `docs/${file}`),
  'client/README.md',
  'examples/README.md',
  'terraform/README.md',
].filter((file) => file.endsWith('.md') && existsSync(join(checkout, file)));

const blocks = FILES.flatMap((file) =>
  [...readFileSync(join(checkout, file), 'utf8').matchAll(/^```(?:sh|bash|shell|console)\n([\s\S]*?)^```/gm)].map(([, text = '']) => ({
    file,
    text,
  })),
);
const textOf = ([file, begins]: Block): string | undefined =>
  blocks.find((block) => block.file === file && block.text.startsWith(begins))?.text;

describe('the commands of the documentation', () => {
  const known: readonly Block[] = [...RUN, ...ELSEWHERE, ...NEVER].map(({ block }) => block);

  it.each(blocks.map(({ file, text }) => [file, text.split('\n')[0] ?? '', text] as const))(
    '%s: %s: is run, or listed with its reason',
    (file, _line, text) => {
      expect(known.filter(([where, begins]) => where === file && text.startsWith(begins))).toHaveLength(1);
    },
  );

  it.each(known)('%s: %s: stands there', (...block) => expect(textOf(block)).toBeDefined());

  it.each(ELSEWHERE)('$block: is run by $test', ({ test, says }) => expect(readFileSync(join(checkout, test), 'utf8')).toContain(says));
});

describe('pasted beside make dev', () => {
  let dev: Run;
  let home: string;
  let at: Addresses;
  const env: Record<string, string> = {};
  /** The shared application's, as the stack has it. */
  let upstream: { client_id: string; client_secret: string };
  /** A gateway: the one that runs now. */
  let background: { stop(): Promise<unknown> } | undefined;

  beforeAll(() => takeTurn('dev'), 300_000);

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'postern-docs-'));
    dev = run(['cli/main.ts', 'dev', '--json'], { stack: 'dev' });
    await dev.until('"pids"');
    at = JSON.parse(dev.out()) as Addresses;
    const vault = await findVault();
    symlinkSync(vault.path, join(home, 'vault'));
    for (const name of ['nginx', 'envoy', 'traefik', 'caddy'] as const) {
      const gateway = await findGateway(name).catch(() => undefined);
      if (gateway !== undefined) symlinkSync(gateway.path, join(home, name));
    }
    const node = join(checkout, 'node_modules/.bin/node');
    writeFileSync(join(home, 'postern'), `#!/bin/sh\nexec '${node}' '${join(checkout, 'cli/postern.js')}' "$@"\n`, { mode: 0o755 });
    const form = new URLSearchParams(readFileSync(at.tenants['acme']!.form_file, 'utf8'));
    const answer = await fetch(`${at.broker}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ ...Object.fromEntries(form), audience: 'https://orders.example.com' }),
    });
    const rootToken = readFileSync(at.rootTokenFile, 'utf8');
    const kept = await fetch(`${at.vault}/v1/postern/data/upstream/auth0`, { headers: { 'x-vault-token': rootToken } });
    upstream = ((await kept.json()) as { data: { data: typeof upstream } }).data.data;
    registerSecret('auth0 client_secret', upstream.client_secret);
    Object.assign(env, {
      PATH: `${home}:${join(checkout, 'node_modules/.bin')}:${process.env['PATH']}`,
      ADMIN: at.admin,
      TOKEN: ((await answer.json()) as { access_token: string }).access_token,
      VAULT_ADDR: at.vault,
      VAULT_TOKEN: rootToken,
      UPSTREAM_SECRET: upstream.client_secret,
      POSTERN_URL: at.broker.replace(/\/$/, ''),
      NO_COLOR: '1',
      // As test/conformance/examples.test.ts builds it, so that Go compiles its library once.
      CGO_ENABLED: '0',
      GOFLAGS: '-trimpath -mod=readonly -buildvcs=false',
    });
  });

  afterAll(async () => {
    await background?.stop();
    dev.press('SIGINT');
    await dev.ended;
    await dev[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
    const keys = ['umbrella.key', 'umbrella.new.key', 'umbrella.secret'];
    for (const litter of ['credential', 'token', 'acme.pem', 'acme.pub.pem', ...keys]) rmSync(join(checkout, litter), { force: true });
  });

  /**
   * As it stands there, but for a secret that is asked for on a terminal: here it comes through a pipe. It is the one that Auth0 knows,
   * since a broker reads it anew when it needs a token, for the blocks that come after.
   */
  const adapted = (text: string): string =>
    text.replace(/^postern upstream set .*$/m, `printf %s "$UPSTREAM_SECRET" | postern upstream set --client-id '${upstream.client_id}'`);

  /** The end of what the broker has said. */
  const brokerLog = (): string => readFileSync(at.logs.broker, 'utf8').trimEnd().split('\n').slice(-5).join('\n');

  /** Starts what runs until Ctrl-C in place of what did so before, and waits until it listens. */
  async function replace(text: string): Promise<void> {
    await background?.stop();
    const running = execa('bash', ['-euc', `${text.startsWith('.') ? '' : 'exec '}${text}`], {
      cwd: checkout,
      env,
      all: true,
      reject: false,
    });
    let over = false;
    void running.then(() => (over = true));
    background = { stop: () => (running.kill('SIGINT'), running) };
    const listens = (): Promise<boolean> =>
      fetch(at.gateway).then(
        // Traefik knows no route in its first moment.
        ({ status }) => status !== 404,
        () => false,
      );
    for (let tries = 0; !(await listens()); tries += 1) {
      if (over || tries === 200) throw new Error(`${text}: ${over ? (await running).all : 'it does not listen'}`);
      await sleep(100);
    }
  }

  it.for(RUN.map((one) => [one.block[0], one.block[1].split('\n')[0]!, one] as const))(
    '%s: %s',
    { timeout: 250_000 },
    async ([file, _line, { block, expect: expected, keep, needs }], context) => {
      for (const program of needs ?? [])
        if ((await execa('sh', ['-c', `command -v ${program}`], { env, reject: false })).failed) context.skip(`there is no ${program}`);
      let text = adapted(textOf(block) as string);
      // With a Vault token the header is another, as the document says.
      if (text.startsWith('umask 077\nprintf')) text = text.replace(/printf .*/, `cp ${at.operator_file} credential`);
      const shell = { cwd: checkout, env: { ...env, REQUEST_ID: crypto.randomUUID() }, all: true as const, timeout: 240_000 };
      if (text.includes('until Ctrl-C')) {
        await replace(text);
        const key = readFileSync(at.tenants['acme']!.key_file, 'utf8').trim().split(': ') as [string, string];
        expect((await fetch(`${at.gateway}/orders`, { headers: [key] })).status).toBe(200);
        expect((await fetch(`${at.gateway}/orders`)).status).toBe(401);
        return;
      }
      const { all, failed } = await execa('bash', ['-euc', text], { ...shell, reject: false });
      expect(failed, failed ? `${file}\n${text}\n${all}\n${brokerLog()}` : file).toBe(false);
      for (const pattern of expected) expect(all, `${file}\n${text}`).toMatch(pattern);
      if (keep !== undefined) env[keep[0]] = keep[1].exec(all)?.[1] ?? '';
    },
  );
});
