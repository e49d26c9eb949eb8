import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { Check } from '#broker/doctor/check.ts';
import { examine } from '#broker/doctor/examination.ts';
import { SAMPLE } from '#broker/doctor/sample.ts';
import { hostNames } from '#broker/setting.ts';
import type { Output } from '#cli/output.ts';
import type { Context, VaultCall } from './context.ts';
import { trustForBroker } from './vault-access.ts';
import { brokerUrl } from './token.ts';

interface Options {
  url?: string;
  tenants: number;
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
    .option('--tenants <number>', 'so many are looked at one by one, chosen at random; or `all`', sampleSize, SAMPLE)
    .addOption(
      new Option('--binding <mode>', 'how tokens are bound to tenants [$POSTERN_AUTH0_BINDING] (default: action)').choices([
        'action',
        'organization',
      ]),
    )
    .option('--client-id <id>', 'of the shared Auth0 application (default: the one that terraform/modules/auth0 made)')
    .addHelpText(
      'after',
      '\nThe Management token needs read:clients, read:resource_servers, read:client_grants, read:actions, ' +
        'read:organizations.\nExit code 6: something failed; warnings alone are 0.',
    )
    .action(context.vaultAction<Options>(run));
}

async function run({ access, options, output, terminal, end }: VaultCall<Options>): Promise<void> {
  const { env, signal } = terminal;
  const url = options.url ?? env['POSTERN_URL'];
  await trustForBroker(options, terminal);
  // Loaded only here: each source brings its issuer's packages.
  const { SOURCES } = await import('#broker/sources.ts');
  const { FetchedKeys } = await import('#broker/issuer/issuer-keys.ts');
  const lines: string[] = [];
  const checks = await examine(access, {
    sources: await Promise.all(SOURCES.map((source) => source.checks())),
    broker: url ? brokerUrl(url) : undefined,
    issuerKeys: new FetchedKeys({ privateHosts: hostNames.parse(env['POSTERN_TRUST_PRIVATE_HOSTS'] ?? '') }),
    most: options.tenants,
    issuers: { env, binding: options.binding, clientId: options.clientId },
    signal,
    progress: (what) => output.counter(what),
    onCheck(check) {
      if (output.json) return;
      lines.push(line(output, check));
      output.progress(`looked at ${check.name}`);
    },
  });
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  const summary = { ok: count('ok'), warnings: count('warning'), failed: count('failed'), skipped: count('skipped') };
  const closing = `\n${summary.ok} ok, ${summary.warnings} warnings, ${summary.failed} failed, ${summary.skipped} not looked at`;
  output.result({ ...summary, checks }, [...lines, closing].join('\n'));
  if (summary.failed > 0) end(6);
}

function sampleSize(text: string): number {
  const value = text === 'all' ? Infinity : Number(text);
  if (text !== 'all' && (!/^\d{1,7}$/.test(text) || value < 1)) throw new InvalidArgumentError('It is a number from 1 on, or all.');
  return value;
}

function line(output: Output, { name, status, seen, remedy }: Check): string {
  const marks = { ok: ['green', '✓'], warning: ['yellow', '!'], failed: ['red', '✗'], skipped: ['dim', '-'] } as const;
  const [style, mark] = marks[status];
  return (
    `${output.style(style, mark)} ${name}: ` +
    `${seen}${remedy === '' ? '' : `\n    ${output.style(status === 'skipped' ? 'dim' : 'bold', remedy)}`}`
  );
}
