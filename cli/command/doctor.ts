import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { skipped } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import { inspectVault } from '#broker/doctor/vault.ts';
import { sourceView } from '#broker/doctor/source-view.ts';
import type { Output } from '#cli/output.ts';
import type { Context, VaultCall } from './context.ts';
import { inspectBroker } from '#broker/doctor/broker.ts';
import { brokerUrl } from './token.ts';

interface Options {
  url?: string;
  binding?: string;
  clientId?: string;
}

export function doctorCommand(context: Context): Command {
  return context
    .command('doctor', 'look whether everything is set up right, and say what to do where it is not', [
      ['postern doctor', 'Vault'],
      ['postern doctor --url https://login.example.com', 'and the broker'],
      ['AUTH0_DOMAIN=acme.eu.auth0.com postern doctor', 'and Auth0; AUTH0_MGMT_TOKEN is in the environment'],
      ['postern doctor --json | jq \'.checks[] | select(.status == "failed")\'', 'what must be mended'],
    ])
    .option('--url <url>', 'the broker [$POSTERN_URL]; unset: it is not looked at')
    .addOption(
      new Option('--binding <mode>', 'how tokens are bound to tenants [$POSTERN_AUTH0_BINDING] (default: action)').choices([
        'action',
        'organization',
      ]),
    )
    .option('--client-id <id>', 'of the shared Auth0 application (default: the one that terraform/modules/auth0 made)')
    .addHelpText(
      'after',
      '\nThe Management token needs read:clients, read:resource_servers, read:client_grants, read:actions, read:organizations.\nExit code 6: something failed; warnings alone are 0.',
    )
    .action(context.vaultAction<Options>(examine));
}

async function examine({ access, options, output, terminal, end }: VaultCall<Options>): Promise<void> {
  const { env, signal } = terminal;
  const url = options.url ?? env['POSTERN_URL'];
  const broker = url ? brokerUrl(url) : undefined;
  // Loaded only here: each source brings its issuer's packages.
  const { SOURCES } = await import('#broker/sources.ts');
  const sources = await Promise.all(SOURCES.map((source) => source.checks()));
  const issuers = await Promise.all(
    sources.map(async ({ name, atIssuer }) => ({
      name,
      opened: await atIssuer?.({ env, binding: options.binding, clientId: options.clientId }),
    })),
  );
  const lines: string[] = [];
  const told = (check: Check): void => {
    if (output.json) return;
    lines.push(line(output, check));
    output.progress(`looked at ${check.name}`);
  };
  const checks = await inspectVault(access, { sources, policies: await policies(), onCheck: told, signal });
  const vaultAnswers = !checks.some(({ name, status }) => name.startsWith('vault:') && status === 'failed');
  if (broker !== undefined) checks.push(...(await inspectBroker(broker, access, sources, told)));
  for (const { name, opened } of issuers)
    if (typeof opened === 'function' && vaultAnswers)
      checks.push(...(await opened({ view: sourceView(access, name), onCheck: told, signal })));
  for (const check of [
    ...(broker === undefined ? [skipped('broker', 'not looked at', 'Name it with --url or POSTERN_URL.')] : []),
    ...issuers.flatMap(({ opened }) => (opened === undefined || typeof opened === 'function' ? [] : [opened])),
  ]) {
    checks.push(check);
    told(check);
  }
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  const summary = { ok: count('ok'), warnings: count('warning'), failed: count('failed'), skipped: count('skipped') };
  const closing = `\n${summary.ok} ok, ${summary.warnings} warnings, ${summary.failed} failed, ${summary.skipped} not looked at`;
  output.result({ ...summary, checks }, [...lines, closing].join('\n'));
  if (summary.failed > 0) end(6);
}

/** The text that Terraform writes, where this is run from a checkout. */
async function policies(): Promise<Record<string, string> | undefined> {
  const folder = new URL('../../vault-policies/', import.meta.url);
  const kinds = ['tenant', 'workload', 'broker', 'operator', 'auditor'];
  try {
    return Object.fromEntries(
      await Promise.all(kinds.map(async (kind) => [kind, await readFile(new URL(`${kind}.hcl`, folder), 'utf8')] as const)),
    );
  } catch {
    return undefined;
  }
}

function line(output: Output, { name, status, seen, remedy }: Check): string {
  const marks = { ok: ['green', '✓'], warning: ['yellow', '!'], failed: ['red', '✗'], skipped: ['dim', '-'] } as const;
  const [style, mark] = marks[status];
  return `${output.style(style, mark)} ${name}: ${seen}${remedy === '' ? '' : `\n    ${output.style(status === 'skipped' ? 'dim' : 'bold', remedy)}`}`;
}
