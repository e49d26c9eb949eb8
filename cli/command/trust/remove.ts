import type { Command } from 'commander';
import { removeTrust } from '#broker/operator/trust/remove.ts';
import { listTrusts } from '#broker/operator/trust/view.ts';
import type { TrustView } from '#broker/operator/trust/view.ts';
import type { Context } from '#cli/command/context.ts';

export function removeCommand(context: Context): Command {
  return context
    .command('remove', 'no token is trusted by it any more', [['postern trust remove acme ci', 'holds on every broker within 2 s']])
    .argument('<tenant>')
    .argument('<name>')
    .action(
      context.vaultAction<object, [string, string]>(async ({ access, output }, tenant, name) => {
        const was = (await listTrusts(access, tenant)).find((one) => one.name === name);
        const { epoch, managed_by: manager } = await removeTrust(access, tenant, name);
        output.result(
          { removed: true, tenant, name, epoch },
          `${tenant} no longer trusts ${name}; announced to the brokers (announcement ${epoch}).`,
        );
        output.note('Access tokens that it was given live on until they end.');
        if (was !== undefined && manager !== 'terraform') output.note(`To undo it: ${addition(was)}`);
        if (manager === 'terraform') output.warn('Terraform wrote it, and brings it back with the next apply: take it out there too.');
      }),
    );
}

/** The command that makes it again, for a shell. */
function addition({ tenant, name, issuer, audience, subject, subject_pattern: pattern, claims, scopes, cidrs }: TrustView): string {
  const options: [string, string][] = [
    ['issuer', issuer],
    ['audience', audience],
    ...(subject === null ? [] : [['subject', subject] as [string, string]]),
    ...(pattern === null ? [] : [['subject-pattern', pattern] as [string, string]]),
    ...Object.entries(claims).map(([claim, value]): [string, string] => ['claim', `${claim}=${value}`]),
    ...(scopes ?? []).map((scope): [string, string] => ['scope', scope]),
    ...cidrs.map((block): [string, string] => ['cidr', block]),
  ];
  return ['postern trust add', tenant, name, ...options.map(([option, value]) => `--${option} ${quoted(value)}`)].join(' ');
}

const quoted = (text: string): string => (/^[\w.:/=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
