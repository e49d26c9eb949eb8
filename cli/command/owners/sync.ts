import type { Command } from 'commander';
import { syncOwners } from '#broker/operator/owner/sync.ts';
import type { Gone } from '#broker/operator/owner/sync.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { tenantNames } from '#broker/operator/tenant/list.ts';
import type { Context } from '#cli/command/context.ts';
import { openPeople } from '#cli/command/management.ts';

/** Requests that Auth0 turned away are sent again so often, each time after as long as it says. */
const RETRIES = 8;

interface Options {
  audience?: string;
  dryRun?: boolean;
  after?: string;
  revokeMissingOrganizations?: boolean;
}

const WHY: Readonly<Record<Gone['why'], string>> = {
  deleted: 'deleted',
  blocked: 'blocked',
  left: 'not in the organization',
  permissions: 'lost ',
};

export function syncCommand(context: Context): Command {
  return context
    .command('sync', 'end the keys of people who went: blocked, deleted, out of the organization, or without a permission that a key has', [
      ['AUTH0_DOMAIN=acme.eu.auth0.com postern owners sync --dry-run', 'who that is; AUTH0_MGMT_TOKEN is in the environment'],
      ['postern owners sync acme --json', "one tenant's: for a job every few minutes"],
    ])
    .argument('[tenant]', 'default: every tenant')
    .option('--audience <identifier>', 'of the Auth0 API that stands for self-service (default: POSTERN_SELF_AUDIENCE)')
    .option('--dry-run', 'only look')
    .option('--after <tenant>', 'go on behind this tenant, in the order of their names')
    .option('--revoke-missing-organizations', "also those of organizations that Auth0 doesn't know")
    .addHelpText(
      'after',
      `
AUTH0_MGMT_TOKEN (or AUTH0_API_TOKEN, as for Terraform) is a Management API token with the scopes read:users, read:roles,
read:organization_members, read:organization_member_roles and read:resource_servers; where people have permissions through
groups also read:user_effective_permissions and read:organization_member_effective_roles.
Nothing is done before Auth0 is found to have that API: in another tenant of Auth0 everybody would seem to have left.
Interrupted, run it again. A log stream (docs/user-keys.md) does the same within seconds; this finds what a stream missed.`,
    )
    .action(
      context.vaultAction<Options, [string | undefined]>(async ({ access, options, output, terminal, end }, tenant) => {
        if (tenant !== undefined) checkTenantId(tenant);
        if (options.after !== undefined) checkTenantId(options.after);
        const directory = await openPeople({
          env: terminal.env,
          audience: options.audience,
          retries: RETRIES,
          signal: terminal.signal,
        });
        const all = tenant === undefined ? await tenantNames(access) : [tenant];
        const tenants = all.filter((name) => options.after === undefined || name > options.after);
        const count = output.counter('tenants');
        let last = options.after;
        const result = await syncOwners(access, {
          directory,
          tenants,
          dryRun: options.dryRun === true,
          missingOrganizationsLeft: options.revokeMissingOrganizations === true,
          signal: terminal.signal,
          onProgress(done, of) {
            last = tenants[done - 1];
            count(done, of);
          },
        }).catch((error: unknown) => {
          if (last !== undefined && tenant === undefined)
            output.note(`Tenants up to ${last} are done. To go on behind it: postern owners sync --after ${last}`);
          throw error;
        });
        const { gone, unknown_organizations: unknown } = result;
        const keys = gone.reduce((sum, one) => sum + one.keys.length, 0);
        output.result(
          { dry_run: options.dryRun === true, ...result },
          output.table(
            ['TENANT', 'OWNER', 'WHY', 'KEYS'],
            gone.map((one) => [one.tenant, one.owner, `${WHY[one.why]}${one.lost.join(' ')}`, one.keys.join(' ')]),
          ),
        );
        if (output.forPeople || !output.json)
          output.note(
            `${result.owners} owners of ${result.keys} keys in ${result.tenants} tenants: ${keys} keys of ${gone.length} ` +
              (options.dryRun === true ? 'would end; nothing was changed' : 'ended'),
          );
        if (unknown.length === 0 || options.revokeMissingOrganizations === true) return;
        output.warn(
          `Auth0 knows no organization ${unknown.slice(0, 10).join(', ')}: its people's keys stay as they are. ` +
            'Is AUTH0_DOMAIN right? If it was deleted: --revoke-missing-organizations.',
        );
        end(6);
      }),
    );
}
