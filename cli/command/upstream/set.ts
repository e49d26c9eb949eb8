import type { Command } from 'commander';
import { setUpstream } from '#broker/operator/upstream.ts';
import type { UpstreamView } from '#broker/operator/upstream.ts';
import type { Context } from '#cli/command/context.ts';
import { readSecret } from '#cli/command/secret-input.ts';

interface Options {
  clientId: string;
  secretFile?: string;
  previousSecretFile?: string;
}

export function setCommand(context: Context): Command {
  return context
    .command('set', 'store its client id and secret in Vault', [
      ['postern upstream set --client-id 4xA…', 'asks for the secret and does not show it'],
      ['auth0 apps show 4xA… --reveal-secrets --json | jq -r .client_secret | postern upstream set --client-id 4xA…', 'by a pipe'],
      ['postern upstream set --client-id 4xA… --secret-file new --previous-secret-file old', 'after a rotation'],
    ])
    .requiredOption('--client-id <id>', "the application's client id")
    .option('--secret-file <file>', 'the client secret; else it is read from stdin or asked for')
    .option(
      '--previous-secret-file <file>',
      'the secret before: brokers try it while Auth0 does not know the new one everywhere (up to 30 s)',
    )
    .action(
      context.vaultAction<Options>(async ({ access, options, output, terminal }) => {
        const clientSecret = await readSecret(terminal, output, 'client secret', options.secretFile);
        const previous =
          options.previousSecretFile === undefined
            ? undefined
            : await readSecret(terminal, output, 'previous client secret', options.previousSecretFile);
        const set = await setUpstream(access, {
          clientId: options.clientId,
          clientSecret,
          ...(previous === undefined ? {} : { previousClientSecret: previous }),
        });
        output.result(set, upstreamText(set));
      }),
    );
}

const PREVIOUS: Readonly<Record<UpstreamView['previous'], string>> = {
  given: 'the previous secret is stored beside it',
  kept: 'the previous secret is kept beside it',
  none: 'there was none of this application before',
  'not readable': 'brokers find the one before as the version before it (your token may set it and never read it)',
};

export function upstreamText({ client_id: id, version, previous }: UpstreamView): string {
  return `The upstream credential of ${id} is set (version ${version}); ${PREVIOUS[previous]}.`;
}
