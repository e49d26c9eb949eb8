import type { Command } from 'commander';
import { readApis } from '#broker/operator/apis.ts';
import type { Context } from '#cli/command/context.ts';
import { lifeText } from './show.ts';

export function listCommand(context: Context): Command {
  return context
    .command('list', 'every API, with its audience and scopes', [
      ['postern api list', 'what `tenant grant add` can name'],
      ['postern api list --json | jq -r \'.apis[] | select(.audience == "https://orders.example.com").name\'', 'the name of an audience'],
    ])
    .addHelpText('after', '\nAPIs are the Terraform variable `apis`: an operator makes none.')
    .action(
      context.vaultAction<object>(async ({ access, output }) => {
        const found = await readApis(access);
        const apis = [...found.values()].filter((api) => api !== undefined);
        output.result(
          { apis },
          output.table(
            ['API', 'AUDIENCE', 'SOURCE', 'A TOKEN LIVES', 'SCOPES'],
            apis.map((api) => [api.name, api.audience, api.source, lifeText(api), api.scopes.join(' ') || '-']),
          ),
        );
        if (found.size === 0) output.note('There is none yet: APIs are made by Terraform (variable `apis`).');
        for (const [name, api] of found)
          if (api === undefined) output.warn(`the document of ${name} is not valid, so brokers leave it out: postern api show ${name}`);
      }),
    );
}
