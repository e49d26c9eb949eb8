import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { confirm } from '#cli/command/secret-input.ts';
import type { Context } from '#cli/command/context.ts';

export function deleteCommand(context: Context): Command {
  return context
    .command('delete', 'end a tenant: its role, every secret_id, its document and its cached tokens', [
      ['postern tenant delete acme', 'asks first'],
      ['postern tenant delete acme --yes', 'does not ask; interrupted, run it again'],
    ])
    .argument('<tenant>')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nA tenant in the Terraform variable `tenants` comes back with the next apply: take it out there too.')
    .action(
      context.vaultAction<{ yes?: boolean }, [string]>(async ({ access, options, output, terminal }, tenant) => {
        const question = `End ${tenant}? Every credential of it stops working at once, for good.`;
        if (options.yes !== true && !(await confirm(terminal, question))) throw new PosternError('invalid_request', 'Nothing was changed');
        const done = await deleteTenant(access, tenant);
        output.result(
          { deleted: true, ...done },
          `${tenant} is deleted, with ${done.cached_tokens} cached token${done.cached_tokens === 1 ? '' : 's'}; ` +
            `announced to the brokers (announcement ${done.epoch}).`,
        );
        if (done.registered_keys > 0) output.note(`Registered public keys removed: ${done.registered_keys}.`);
        output.note(
          'Services that verify by key set alone accept the access tokens that it holds until they expire, ' +
            `${done.name_free_at} at the latest.`,
        );
        output.note(`Until then its name is not used again. What may be left:\n${done.left.map((one) => `  ${one}`).join('\n')}`);
      }),
    );
}
