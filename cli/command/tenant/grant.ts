import type { Command } from 'commander';
import { addGrants, removeGrants } from '#broker/operator/tenant/grants.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import { PosternError } from '#broker/error.ts';
import type { Context } from '#cli/command/context.ts';
import { confirm } from '#cli/command/secret-input.ts';
import type { Output } from '#cli/output.ts';
import { parseGrant } from './create.ts';
import { warnOfTerraform } from './terraform.ts';

export function grantCommand(context: Context): Command {
  const group = context.command('grant', 'what a tenant may have: APIs, each with scopes');
  for (const command of [addCommand, removeCommand, listCommand]) group.addCommand(command(context));
  return group;
}

function listCommand(context: Context): Command {
  return context
    .command('list', "a tenant's grants", [
      ['postern tenant grant list acme', 'one API a line, with its scopes'],
      ['postern tenant grant list acme --json | jq -r .grants[].api', 'for a script'],
    ])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, tenant) => {
        const found = await showTenant(access, tenant);
        show(output, found);
        if (found.grants.length === 0) output.note(`${tenant} has none: postern tenant grant add ${tenant} <api=scope,…>`);
      }),
    );
}

function addCommand(context: Context): Command {
  return context
    .command('add', 'give a tenant an API, or more scopes of one; what it has stays', [
      ['postern tenant grant add acme orders=read:orders', 'beside its other grants and scopes'],
      ['postern tenant grant add acme orders=write:orders reports=', 'two at once; reports without scopes'],
    ])
    .argument('<tenant>')
    .argument('<api=scope,…...>', 'an API and scopes of it (postern api list)')
    .addHelpText('after', '\nGiven again it changes nothing. Brokers know it within 2 s.')
    .action(
      context.vaultAction<object, [string, string[]]>(async (call, tenant, grants) => {
        show(call.output, await addGrants(call.access, tenant, grants.map(parseGrant)));
        await warnOfTerraform(call, tenant);
      }),
    );
}

function removeCommand(context: Context): Command {
  return context
    .command('remove', 'take an API from a tenant, or scopes of one', [
      ['postern tenant grant remove acme reports', 'the API with all its scopes; asks first'],
      ['postern tenant grant remove acme orders=write:orders --yes', 'this scope alone; does not ask'],
    ])
    .argument('<tenant>')
    .argument('<api[=scope,…]...>', 'an API, or scopes of it')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nBrokers give out no such token within 2 s, and say of those that they gave out that they are void; services that verify by\n' +
        'key set alone take them until they expire.',
    )
    .action(
      context.vaultAction<{ yes?: boolean }, [string, string[]]>(async (call, tenant, grants) => {
        const removed = grants.map((text) => (text.includes('=') ? parseGrant(text) : { api: text, scopes: [] }));
        const empty = grants.find((text) => text.endsWith('='));
        if (empty !== undefined)
          throw new PosternError('invalid_request', `"${empty}" names no scope`, {
            detail: `Without the = the API goes with all its scopes: ${empty.slice(0, -1)}`,
          });
        const question = `Take ${grants.join(', ')} from ${tenant}?`;
        if (call.options.yes !== true && !(await confirm(call.terminal, question)))
          throw new PosternError('invalid_request', 'Nothing was changed');
        show(call.output, await removeGrants(call.access, tenant, removed));
        await warnOfTerraform(call, tenant);
      }),
    );
}

function show(output: Output, { tenant, grants }: TenantView): void {
  output.result(
    { tenant, grants },
    output.table(
      ['API', 'SCOPES'],
      grants.map(({ api, scopes }) => [api, scopes.join(' ') || '-']),
    ),
  );
}
