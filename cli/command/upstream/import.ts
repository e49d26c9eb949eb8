import type { Command } from 'commander';
import { setUpstream } from '#broker/operator/upstream.ts';
import type { Context } from '#cli/command/context.ts';
import { loadApplication } from '#cli/command/management.ts';
import { upstreamText } from './set.ts';

export function importCommand(context: Context): Command {
  return context
    .command('import', 'fetch its secret from Auth0 into Vault, past every terminal and Terraform state', [
      [
        'AUTH0_DOMAIN=acme.eu.auth0.com postern upstream import',
        'the application that Terraform made; AUTH0_MGMT_TOKEN is in the environment',
      ],
      ['postern upstream import --client-id 4xA…', 'this application'],
    ])
    .option('--client-id <id>', "the application's client id (default: the one that terraform/modules/auth0 made)")
    .addHelpText(
      'after',
      '\nAUTH0_MGMT_TOKEN (or AUTH0_API_TOKEN, as for Terraform) is a Management API token with the scopes ' +
        'read:clients and read:client_keys.',
    )
    .action(
      context.vaultAction<{ clientId?: string }>(async ({ access, options, output, terminal }) => {
        const { managementOf, findSharedApplication, readClientSecret } = await loadApplication();
        const management = managementOf(terminal.env);
        const { clientId } = await findSharedApplication(management, options.clientId);
        const clientSecret = await readClientSecret(management, clientId);
        const set = await setUpstream(access, { clientId, clientSecret });
        output.result(set, upstreamText(set));
      }),
    );
}
