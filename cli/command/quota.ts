import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { quotaView } from '#broker/operator/quota.ts';
import type { QuotaView, TenantQuotaView } from '#broker/operator/quota.ts';
import type { Output } from '#cli/output.ts';
import type { Context } from './context.ts';

interface Options {
  month?: string;
  top: number;
  all?: boolean;
}

const TOP = 20;
/** Characters of a whole bar. */
const BAR = 20;

export function quotaCommand(context: Context): Command {
  return context
    .command('quota', "what tenants cost of Auth0's quota: tokens fetched in a month (docs/quota.md)", [
      ['postern quota', 'this month: the application, and the tenants with most'],
      ['postern quota acme --month 2026-10', "one tenant's October"],
      ["postern quota --all --json | jq -r '.tenants[] | [.tenant, .fetched] | @csv'", 'all of them, for a bill'],
    ])
    .argument('[tenant]')
    .option('--month <year-month>', 'by UTC, as Auth0 counts (default: this one)')
    .option('--top <number>', 'so many tenants, those with most first', count, TOP)
    .option('--all', 'every tenant')
    .addHelpText(
      'after',
      '\nCAP is what it may have in a month, - where it may have as many as it likes; the bar is how much of that is used,\n' +
        'or else its part of what the largest has. EACH OWN is what it would have cost with an Auth0 application for each\n' +
        'customer: a token for every request.',
    )
    .action(
      context.vaultAction<Options, [string | undefined]>(async ({ access, output, options }, tenant) => {
        const { month, top, all } = options;
        const view = await quotaView(access, { month, tenant, limit: all === true ? undefined : top });
        output.result(view, textOf(output, view));
        const left = view.tenants_counted - view.tenants.length;
        if (tenant === undefined && left > 0) output.note(`${left} more have fewer: --all`);
        if (view.application.level === 'spent') output.warn('the quota of the application is used up: new tokens may be refused');
        else if (view.application.level === 'warning') output.warn('four fifths of the quota of the application are used');
        if (view.tenants_counted === 0) output.note(`No token was fetched from Auth0 in ${view.month}.`);
      }),
    );
}

function textOf(output: Output, view: QuotaView): string {
  const largest = Math.max(1, ...view.tenants.map(({ fetched }) => fetched));
  const rows = view.tenants.map((one) => [
    one.tenant,
    String(one.fetched),
    one.budget === null ? '-' : String(one.budget),
    bar(one, largest),
    one.forecast === null ? '-' : String(one.forecast),
    String(one.one_application_each),
  ]);
  const table = output.table(['TENANT', 'TOKENS', 'CAP', 'USED'.padEnd(BAR), 'FORECAST', 'EACH OWN'], rows);
  // Behind a pipe the rows alone: cut and awk read them.
  return output.forPeople ? `${applicationText(output, view)}\n\n${table}` : table;
}

function applicationText(output: Output, { month, application, issuer }: QuotaView): string {
  const { used, fetched, budget, left, forecast, one_application_each } = application;
  return output.fields([
    ['month', month],
    ['tokens', `${fetched}${used > fetched ? `; Auth0 has counted ${used}` : ''}${budget === null ? '' : ` of ${budget}`}`],
    ...(left === null ? [] : [['left', String(left)] as const]),
    ['forecast', forecast === null ? 'none in the first day' : `${forecast} at the end of the month`],
    ['one application each', `${one_application_each} would have been fetched`],
    ...issuer.map(
      ({ period, quota, remaining, resets_at }) =>
        ['Auth0 says', `${remaining} of ${quota} left ${period.replace('_', ' ')}, until ${new Date(resets_at).toISOString()}`] as const,
    ),
  ]);
}

function bar({ fetched, budget, level }: TenantQuotaView, largest: number): string {
  const part = budget === null ? fetched / largest : budget === 0 ? 1 : Math.min(1, fetched / budget);
  const full = Math.round(part * BAR);
  const text = '█'.repeat(full) + '░'.repeat(BAR - full);
  // A table is aligned by the length of its cells, which a colour would change.
  return level === 'warning' || level === 'spent' ? `${text.slice(0, -1)}!` : text;
}

function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 on.');
  return Number(text);
}
