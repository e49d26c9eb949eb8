import { Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { DEFAULT_WRAP_TTL, issueSecretId } from '#broker/operator/secret/issue.ts';
import type { IssuedSecretId } from '#broker/operator/secret/issue.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import { boundCidrsIfKnown } from '#broker/operator/tenant/bound-cidrs.ts';
import type { Context } from '#cli/command/context.ts';
import { count, inWords, moment, seconds } from '#cli/command/duration.ts';
import { usableFrom } from '#cli/command/usable-from.ts';
import type { Output } from '#cli/output.ts';

interface Options {
  ttl?: number;
  numUses?: number;
  cidr?: string[];
  name?: string;
  /** Commander: seconds, or false by --no-wrap. */
  wrap: number | boolean;
}

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

/** Of the commands that hand a secret_id out, beside their `--no-wrap`. */
export function wrapOption(): Option {
  return new Option('--wrap <duration>', 'how long the wrapping token can be opened')
    .argParser(seconds)
    .default(DEFAULT_WRAP_TTL, inWords(DEFAULT_WRAP_TTL));
}

export function issueCommand(context: Context): Command {
  return context
    .command('issue', 'one more secret_id; those before it go on', [
      ['postern secret issue acme --name "nightly job" --ttl 90d', 'hand the wrapping token to the customer'],
      ['postern secret issue acme --json | jq -r .wrapping_token', 'the same, for a script'],
      ['postern secret issue acme --wrap 1d --cidr 203.0.113.0/24', 'a day to open it; usable from there only'],
      ['(umask 077; postern secret issue acme --no-wrap > secret)', 'the secret_id itself: straight into a file'],
    ])
    .argument('<tenant>')
    .option('--ttl <duration>', "its life, e.g. 90d; 0: until revoked (default: the tenant's)", seconds)
    .option('--num-uses <number>', "logins that it is good for; 0: no limit (default: the tenant's)", count)
    .option('--cidr <block>', 'where it may be used from (repeatable)', collect)
    .option('--name <text>', 'what it is for: shown by `secret list`')
    .addOption(wrapOption())
    .option('--no-wrap', 'print the secret_id itself on stdout')
    .addHelpText(
      'after',
      `
A wrapping token can be opened once, so the customer notices if somebody was faster:
  VAULT_TOKEN=<wrapping token> vault unwrap -field=secret_id
  postern token --client-id <client_id> --wrapped   (for a first try)`,
    )
    .action(
      context.vaultAction<Options, [string]>(async ({ access, options, output }, tenant) => {
        const { ttl, numUses, cidr, name, wrap } = options;
        const issued = await issueSecretId(access, {
          tenant,
          wrap: wrap === true ? DEFAULT_WRAP_TTL : wrap,
          ...(ttl === undefined ? {} : { ttl }),
          ...(numUses === undefined ? {} : { numUses }),
          ...(cidr === undefined ? {} : { cidrs: cidr }),
          ...(name === undefined ? {} : { name }),
        });
        const bound = await boundCidrsIfKnown(access, tenant);
        if (issued.secret_id !== undefined && !output.json) {
          // Alone on stdout, so that it can go straight into a file or a secret store.
          output.result(undefined, issued.secret_id);
          await output.taken();
          output.note(`\n${issuedText(output, issued, bound)}`);
        } else {
          output.result(issued, issuedText(output, issued, bound));
          await output.taken();
        }
        if (issued.secret_id !== undefined)
          output.warn('the secret_id stands on stdout, unwrapped: keep it out of logs, shell history and chats.');
        for (const warning of issued.warnings) output.warn(warning);
        const state = await showTenant(access, tenant).then(
          ({ state }) => state,
          (error: unknown) => {
            if (error instanceof PosternError) return undefined;
            throw error;
          },
        );
        if (state !== undefined && state !== 'active')
          output.warn(`${tenant} is ${state}: this credential gets nothing yet (postern tenant show ${tenant}).`);
      }),
    );
}

export function issuedText(output: Output, issued: IssuedSecretId, bound: readonly string[] | undefined): string {
  return output.fields([
    ['tenant', issued.tenant],
    ['client_id', issued.role_id],
    ['accessor', issued.accessor ?? 'not told by this Vault'],
    ...(issued.name === null ? [] : [['name', issued.name] as const]),
    ['expires', moment(issued.expires_at, 'when revoked')],
    ['logins', issued.num_uses === 0 ? 'no limit' : String(issued.num_uses)],
    ['usable from', usableFrom(issued.cidrs, bound)],
    ...(issued.wrapping_token === undefined
      ? []
      : ([
          ['wrapping token', output.style('bold', issued.wrapping_token)],
          ['open it by', moment(issued.wrap_expires_at ?? null, '')],
        ] as const)),
  ]);
}
