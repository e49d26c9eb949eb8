import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { pageOf, summarizeTenants, eachTenant, tenantIndex } from '#broker/operator/tenant/list.ts';
import type { TenantIndex } from '#broker/operator/tenant/list.ts';
import { tenantStates } from '#broker/operator/tenant/state.ts';
import type { TenantSummary } from '#broker/operator/tenant/view.ts';
import type { Context, VaultCall } from '#cli/command/context.ts';
import { addPage } from '#cli/command/page.ts';
import type { PageOptions } from '#cli/command/page.ts';

interface Options extends PageOptions {
  search?: string;
  full?: boolean;
  brief?: boolean;
}

const HEADINGS = ['TENANT', 'STATE', 'APIS', 'ORGANIZATION', 'CLIENT_ID'];

/** Names in a warning. */
const TOLD = 10;

export function listCommand(context: Context): Command {
  const command = context
    .command('list', 'every tenant', [
      ['postern tenant list', 'a table; tab-separated where it is piped'],
      ['postern tenant list --json | jq -r \'.tenants[] | select(.state != "active").tenant\'', 'those that get nothing'],
      ['postern tenant list --limit 100 --after initech', 'a page'],
      ['postern tenant list --brief', 'of ten thousand, in a second'],
    ])
    .option('--search <text>', 'only those whose id contains it')
    .option('--brief', 'ids and states alone: a few calls to Vault, however many there are')
    .option('--full', 'with --json: what their AppRole roles say too (lives, uses, cidrs), by three reads each in place of one')
    .addHelpText(
      'after',
      `
Each is written as soon as it is read: what is broken off is not whole, and the exit code says so.
With --brief a document that isn't valid is told by nobody: \`postern doctor\` looks.
CLIENT_ID is the one that the tenant's document was written for; \`postern doctor\` compares it with the role's own.`,
    );
  return addPage(command, 'the id of the last tenant of the page before').action(
    context.vaultAction<Options>(async ({ access, options, output, terminal }) => {
      const { index, next } = pageOf(await tenantIndex(access), options);
      if (options.brief && options.full) throw new PosternError('invalid_request', '--brief and --full are two lists');
      if (options.brief) return brief({ access, output }, index, next);
      const count = { onProgress: output.counter('tenants'), signal: terminal.signal, lastUse: output.json };
      const list = output.list('tenants', HEADINGS);
      const wrong: string[] = [];
      let more = 0;
      for await (const one of options.full && output.json
        ? views(eachTenant(access, index, count))
        : summarizeTenants(access, index, count)) {
        await list.add(one, () => [
          one.tenant,
          one.state,
          one.grants.map(({ api }) => api).join(',') || '-',
          one.organization ?? '-',
          one.role_id ?? '-',
        ]);
        if (one.problems.length === 0) continue;
        if (wrong.length < TOLD) wrong.push(one.tenant);
        else more += 1;
      }
      await list.end({ next: next ?? null });
      if (index.names.length === 0 && options.after === undefined && options.search === undefined)
        output.note('There is no tenant yet: postern tenant create --help');
      if (next !== undefined) output.note(`There are more: --after ${next}`);
      if (wrong.length > 0) output.warn(`${wrong.join(', ')}${more > 0 ? ' and others' : ''} not set up right: postern doctor`);
    }),
  );
}

async function brief(
  { access, output }: Pick<VaultCall, 'access' | 'output'>,
  index: TenantIndex,
  next: string | undefined,
): Promise<void> {
  const stateOf = await tenantStates(access, index);
  const list = output.list('tenants', ['TENANT', 'STATE']);
  for (const tenant of index.names) await list.add({ tenant, state: stateOf(tenant) }, () => [tenant, stateOf(tenant)]);
  await list.end({ next: next ?? null });
  if (next !== undefined) output.note(`There are more: --after ${next}`);
}

async function* views(all: ReturnType<typeof eachTenant>): AsyncGenerator<TenantSummary, void, undefined> {
  for await (const { view } of all) yield view;
}
