import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readApis } from '#broker/operator/apis.ts';
import { MigrationJournal } from '#broker/operator/migration/journal.ts';
import { planMigration } from '#broker/operator/migration/plan.ts';
import { tenantNames } from '#broker/operator/tenant/list.ts';
import type { Context } from '#cli/command/context.ts';
import { openApplications } from '#cli/command/management.ts';
import { RETRIES } from './migration.ts';

interface Options {
  except: string[];
  out?: string;
  journal?: string;
}

export function planCommand(context: Context): Command {
  return context
    .command('plan', 'read M2M applications and client grants from Auth0 and show what tenant each becomes; changes nothing', [
      ['AUTH0_DOMAIN=acme.eu.auth0.com postern migrate plan --out plan.json', 'AUTH0_MGMT_TOKEN is in the environment'],
      ['postern migrate plan --except 4yvGxZ2pXkQ7', 'without one of your own services'],
    ])
    .option(
      '--except <client_id>',
      'stays as it is, e.g. one of your own services; the shared application does by its mark; repeatable',
      (one: string, all: string[]) => [...all, one],
      [],
    )
    .option('--out <file>', 'write the plan here as JSON too (0600; a file that is there stays)')
    .option('--journal <file>', 'of a migration that has begun: what became a tenant keeps its name')
    .addHelpText(
      'after',
      `
AUTH0_MGMT_TOKEN (or AUTH0_API_TOKEN, as for Terraform) is a Management API token with the scopes read:clients and
read:client_grants. No secret is read. Neither Vault nor Auth0 is changed: change the plan where you want other names or grants,
then make the tenants by \`postern migrate apply\`.`,
    )
    .action(
      context.vaultAction<Options>(async ({ access, options, output, terminal }) => {
        const all = await openApplications(terminal.env, { retries: RETRIES, signal: terminal.signal });
        const [apis, tenants] = await Promise.all([readApis(access), tenantNames(access)]);
        const unknown = options.except.filter((id) => !all.some(({ clientId }) => clientId === id));
        if (unknown.length > 0)
          throw new PosternError('not_found', `Auth0 has no M2M application ${unknown.join(', ')}`, { detail: 'See --except.' });
        const begun = options.journal === undefined ? new Map() : await MigrationJournal.read(options.journal);
        const known = new Map([...begun].flatMap(([id, { tenant }]): [string, string][] => (tenant === undefined ? [] : [[id, tenant]])));
        const applications = all.filter(({ isShared }) => !isShared);
        const plan = planMigration(applications, { apis, tenants, except: options.except, known });
        const document = { version: 1, domain: terminal.env['AUTH0_DOMAIN'], applications: plan };
        if (options.out !== undefined) await writePlan(options.out, document);
        output.result(
          document,
          output.table(
            ['CLIENT_ID', 'NAME', 'TENANT', 'GRANTS', 'LEFT BEHIND'],
            plan.map((one) => [
              one.client_id,
              // Anybody who may name an application could write to the terminal.
              one.name.replace(/\p{C}/gu, ' '),
              one.migrate ? one.tenant : '-',
              one.grants.map(({ api, scopes }) => `${api}=${scopes.join(',')}`).join(' '),
              one.left_behind.join('; ').replace(/\p{C}/gu, ' '),
            ]),
          ),
        );
        const migrated = plan.filter(({ migrate }) => migrate).length;
        if (output.forPeople || !output.json)
          output.note(`${migrated} of ${plan.length} M2M applications can become tenants; nothing was changed`);
      }),
    );
}

/** Made anew: a plan that somebody has edited is not written over. */
async function writePlan(file: string, document: object): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(document, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PosternError(
      'invalid_request',
      code === 'EEXIST' ? 'The file for the plan is there already' : `The plan can't be written (${code ?? 'unknown'})`,
      { detail: 'Name another one by --out.' },
    );
  }
}
