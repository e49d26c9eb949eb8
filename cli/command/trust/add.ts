import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { addTrust } from '#broker/operator/trust/add.ts';
import type { Context } from '#cli/command/context.ts';

interface Options {
  issuer: string;
  audience: string;
  subject?: string;
  subjectPattern?: string;
  claim?: Record<string, string>;
  scope?: string[];
  cidr?: string[];
  replace?: boolean;
}

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

function collectClaim(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const at = text.indexOf('=');
  const name = text.slice(0, at);
  if (at < 1)
    throw new PosternError('invalid_request', 'A claim is given as name=value', { detail: 'Such as --claim repository_owner_id=65.' });
  if (before !== undefined && Object.hasOwn(before, name)) throw new PosternError('invalid_request', `The claim ${name} is given twice`);
  return { ...before, [name]: text.slice(at + 1) };
}

export function addCommand(context: Context): Command {
  return context
    .command('add', 'one more kind of workload that is this tenant', [
      [
        'postern trust add acme ci --issuer https://token.actions.githubusercontent.com --audience https://tokens.example.com/ \\\n' +
          '    --subject-pattern "repo:acme/app:ref:refs/heads/*" --claim repository_owner_id=65 --scope read:orders',
        'GitHub Actions, any branch of one repository',
      ],
    ])
    .argument('<tenant>')
    .argument('<name>', 'a name of your choice')
    .requiredOption('--issuer <address>', "the token's iss, letter by letter")
    .requiredOption('--audience <audience>', "the token's aud")
    .option('--subject <sub>', "the token's sub")
    .option('--subject-pattern <pattern>', 'the same with * for a whole segment, ** at the end for several')
    .option('--claim <name=value>', 'a claim that must have this text (repeatable)', collectClaim)
    .option('--scope <scope>', 'narrow it to these scopes of the tenant (repeatable; default: all that it has)', collect)
    .option('--cidr <block>', "where it may be used from (repeatable; default: the tenant's)", collect)
    .option('--replace', 'in place of one of that name')
    .addHelpText(
      'after',
      '\nWhich issuers a tenant may trust is said in Terraform (tenants.<t>.issuers or .trusts). A trust that Terraform wrote\n' +
        'is written anew by the next apply: change it there.',
    )
    .action(
      context.vaultAction<Options, [string, string]>(async ({ access, options, output }, tenant, name) => {
        const { issuer, audience, subject, subjectPattern, claim, scope, cidr, replace } = options;
        const added = await addTrust(access, {
          tenant,
          name,
          issuer,
          audience,
          subject,
          subjectPattern,
          claims: claim,
          scopes: scope,
          cidrs: cidr,
          replace,
        });
        output.result({ ...added }, `${tenant} trusts ${name}; announced to the brokers (announcement ${added.epoch}).`);
        output.note(`Try it with a token of that workload: postern trust test ${tenant} ${name} --token-file FILE`);
      }),
    );
}
