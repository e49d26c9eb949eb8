import type { Command } from 'commander';
import { dutiesOf } from '#broker/operator/duties.ts';
import type { Duty } from '#broker/operator/duties.ts';
import { ownToken } from '#broker/operator/own-token.ts';
import type { OwnToken } from '#broker/operator/own-token.ts';
import type { Output } from '#cli/output.ts';
import type { Context } from './context.ts';
import { inWords } from './duration.ts';

/** A login that ends so soon is worth a word, seconds. */
const SOON = 300;

export function whoamiCommand(context: Context): Command {
  return context
    .command('whoami', 'who you are to Vault, what your policies allow, and how long yet', [
      ['postern whoami', "by Vault's own word: sys/capabilities-self"],
      ['postern whoami --json | jq -e \'.allowed | index("revoke_credentials")\'', 'whether you may revoke'],
    ])
    .action(
      context.vaultAction(async ({ access, output, options }) => {
        const duties = dutiesOf(access.mounts);
        const own = await ownToken(access, duties);
        const excess = duties.filter(({ excessive, name }) => excessive && own.allowed.includes(name));
        const document = { ...own, refused: named(duties, own.refused).map(({ name }) => name), vault_addr: options.vaultAddr };
        output.result(document, textOf(output, own, duties, options.vaultAddr));
        if (own.root) output.warn('this is a root token, which nobody needs for daily work: postern login');
        else if (excess.length > 0) output.warn(`more than anybody needs: it may ${excess.map(({ words }) => words).join('; ')}`);
        if (own.ttl !== null && own.ttl < SOON) output.warn(`it ends in ${inWords(own.ttl)}: postern login`);
      }),
    );
}

function textOf(output: Output, own: OwnToken, duties: readonly Duty[], address: string): string {
  const left = own.ttl === null ? 'does not end' : `ends in ${inWords(own.ttl)} (${own.expires_at?.slice(0, 16).replace('T', ' ')}Z)`;
  const rows = (names: readonly string[], mark: string): string[] => named(duties, names).map(({ words }) => `  ${mark} ${words}`);
  return [
    output.fields([
      ['you are', output.style('bold', own.person === null ? own.display_name : `${own.person} (${own.display_name})`)],
      ['logged in', `${own.path ?? 'by a token'}${own.role === null ? '' : ` as ${own.role}`}`],
      ['at', address],
      ['policies', own.policies.join(', ') || 'none'],
      ['token', `${own.type}, ${left}${own.renewable ? ', can be renewed' : ''}`],
    ]),
    ...section(output, 'You may', rows(own.allowed, output.style('green', '+'))),
    ...section(output, 'You may not', rows(own.refused, output.style('dim', '-'))),
  ].join('\n');
}

function section(output: Output, title: string, rows: readonly string[]): string[] {
  return rows.length === 0 ? [] : ['', output.style('bold', title), ...rows];
}

/** What nobody needs isn't told as missing. */
function named(duties: readonly Duty[], names: readonly string[]): Duty[] {
  return duties.filter(({ name, excessive }) => names.includes(name) && excessive !== true);
}
