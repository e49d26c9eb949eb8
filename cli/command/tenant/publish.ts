import type { Command } from 'commander';
import { publishTenants } from '#broker/operator/tenant/publish.ts';
import type { Context } from '#cli/command/context.ts';

export function publishCommand(context: Context): Command {
  return context
    .command('publish', 'after an API was marked or unmarked: brokers learn of the tenants that are granted it', [
      ['postern tenant publish', "every tenant's that Terraform doesn't manage; those it does come with its apply"],
      ['postern tenant publish acme globex', 'these alone'],
    ])
    .argument('[tenant...]')
    .addHelpText(
      'after',
      '\nA single tenant is marked by `postern tenant create TENANT --update --publish API`. What is published is in docs/sidecar.md.',
    )
    .action(
      context.vaultAction<object, [string[]]>(async ({ access, output, terminal }, tenants) => {
        const published = await publishTenants(access, tenants.length === 0 ? undefined : tenants, {
          onProgress: output.counter('tenants'),
          signal: terminal.signal,
        });
        output.result(
          { published },
          published.length === 0 ? 'Nothing is published.' : published.map(({ tenant, apis }) => `${tenant}\t${apis.join(' ')}`).join('\n'),
        );
      }),
    );
}
