import type { Command } from 'commander';
import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { readApis } from '#broker/operator/apis.ts';
import type { Context } from '#cli/command/context.ts';
import { inWords } from '#cli/command/duration.ts';

export function showCommand(context: Context): Command {
  return context
    .command('show', 'one API: its audience, scopes, and where its tokens come from', [
      ['postern api show orders', 'by the name that grants have'],
    ])
    .argument('<api>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, name) => {
        if (!NAME.test(name))
          throw new PosternError('invalid_request', 'The name of an API is 1 to 63 characters of a-z, 0-9 and -', {
            detail: 'See postern api list; an audience is not its name.',
          });
        const { data } = await access.call(`read the API ${name}`, ({ documents, as }) => documents.read(`apis/${name}`, as));
        if (data === undefined) {
          const known = [...(await readApis(access)).keys()];
          throw new PosternError('not_found', `There is no API "${name}"`, {
            detail: known.length === 0 ? 'There is none yet: APIs are made by Terraform.' : `There is ${known.join(', ')}.`,
          });
        }
        const parsed = apiDocument.safeParse(data);
        if (!parsed.success)
          throw new PosternError(
            'misconfigured',
            `The API "${name}" is not valid, so brokers leave it out: ${documentFault(parsed.error)}`,
            {
              detail: 'Mend it in Terraform (variable `apis`).',
            },
          );
        const api: Api = { ...parsed.data, name };
        output.result(
          api,
          output.fields([
            ['API', output.style('bold', name)],
            ['audience', api.audience],
            ['source', api.source],
            ['a token lives', lifeText(api)],
            ['dialect', api.dialect],
            ['scopes', api.scopes.join(' ') || 'none'],
            ...(api.publish === true ? [['published in KV', 'of each tenant that is granted it'] as const] : []),
          ]),
        );
      }),
    );
}

export function lifeText({ lifetime }: Api): string {
  return inWords(lifetime);
}
