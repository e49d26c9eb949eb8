import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findGateway } from '#test/part/gateway.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout } from '#tools/part/version.ts';
import { ELSEWHERE, NEVER, RUN } from './docs.commands.ts';
import type { Block } from './docs.commands.ts';
import { run } from './run.ts';
import type { Run } from './run.ts';

interface Addresses {
  broker: string;
  admin: string;
  service: string;
  vault: string;
  rootTokenFile: string;
  operator_file: string;
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
  const background: AbortController[] = [];

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'postern-docs-'));
    dev = run(['cli/main.ts', 'dev', '--json'], { stack: 'dev' });
    await dev.until('"pids"');
    at = JSON.parse(dev.out()) as Addresses;
    const vault = await findVault();
    symlinkSync(vault.path, join(home, 'vault'));
    const nginx = await findGateway('nginx').catch(() => undefined);
    if (nginx !== undefined) symlinkSync(nginx.path, join(home, 'nginx'));
    const node = join(checkout, 'node_modules/.bin/node');
    writeFileSync(join(home, 'postern'), `#!/bin/sh\nexec '${node}' '${join(checkout, 'cli/main.ts')}' "$@"\n`, { mode: 0o755 });
    const form = new URLSearchParams(readFileSync(at.tenants['acme']!.form_file, 'utf8'));
    const secret = (name: string): string => form.get(name) as string;
    const header = (file: string): string => readFileSync(file, 'utf8').trim().split(': ')[1] as string;
    const answer = await fetch(`${at.broker}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ ...Object.fromEntries(form), audience: 'https://orders.example.com' }),
    });
    Object.assign(env, {
      PATH: `${home}:${join(checkout, 'node_modules/.bin')}:${process.env['PATH']}`,
      ROLE_ID: secret('client_id'),
      SECRET_ID: secret('client_secret'),
      KEY: header(at.tenants['acme']!.key_file),
      OPERATOR: header(at.operator_file),
      ADMIN: at.admin,
      TOKEN: ((await answer.json()) as { access_token: string }).access_token,
      VAULT_ADDR: at.vault,
      VAULT_TOKEN: readFileSync(at.rootTokenFile, 'utf8'),
      POSTERN_URL: at.broker,
      NO_COLOR: '1',
    });
  });

  afterAll(async () => {
    for (const one of background) one.abort();
    dev.press('SIGINT');
    await dev.ended;
    await dev[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
    for (const litter of ['credential', 'token', 'acme.pem', 'acme.pub.pem']) rmSync(join(checkout, litter), { force: true });
  });

  /** As somebody pastes it whose ports were free, with the placeholders filled in. */
  const adapted = (text: string): string =>
    text
      .replaceAll('http://127.0.0.1:8080/', at.broker)
      .replaceAll('http://127.0.0.1:8081', at.admin)
      .replaceAll('role_id=…', 'role_id="$ROLE_ID"')
      .replaceAll('secret_id=…', 'secret_id="$SECRET_ID"')
      .replaceAll('/tmp/postern-nginx', join(home, 'nginx-prefix'))
      // The secret is asked for on a terminal; here it comes through a pipe.
      .replace(/^postern upstream set .*$/m, 'printf %s "$SECRET_ID" | postern upstream set --client-id docs-test');

  it.each(RUN.map((one) => [one.block[0], one.block[1].split('\n')[0]!, one] as const))(
    '%s: %s',
    async (file, _line, { block, expect: expected, keep }) => {
      let text = adapted(textOf(block) as string);
      // With a Vault token the header is another, as the document says.
      if (text.startsWith('umask 077\nprintf')) text = text.replace(/printf .*/, `cp ${at.operator_file} credential`);
      const shell = { cwd: checkout, env: { ...env, REQUEST_ID: crypto.randomUUID() }, all: true as const, timeout: 40_000 };
      if (text.includes('until Ctrl-C')) {
        // The example has the ports of a machine where they were free.
        const configuration = join(home, 'postern.conf');
        const example = readFileSync(join(checkout, 'examples/gateway/nginx/postern.conf'), 'utf8');
        writeFileSync(
          configuration,
          example.replaceAll('127.0.0.1:8080', new URL(at.broker).host).replaceAll('127.0.0.1:3000', new URL(at.service).host),
        );
        const controller = new AbortController();
        background.push(controller);
        void execa('bash', ['-euc', text.replace(/include \$PWD\S+;/, `include ${configuration};`)], {
          ...shell,
          timeout: 0,
          cancelSignal: controller.signal,
          reject: false,
        });
        const listens = (): Promise<boolean> =>
          fetch('http://127.0.0.1:8000/').then(
            () => true,
            () => false,
          );
        for (let tries = 0; !(await listens()) && tries < 100; tries += 1) await sleep(100);
        return;
      }
      const { all } = await execa('bash', ['-euc', text], shell);
      for (const pattern of expected) expect(all, `${file}\n${text}`).toMatch(pattern);
      if (keep !== undefined) env[keep[0]] = keep[1].exec(all)?.[1] ?? '';
    },
  );
});
