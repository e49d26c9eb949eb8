import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { DEFAULT_ENVIRONMENT, issueKey } from '#broker/operator/key/issue.ts';
import { revokeKeys } from '#broker/operator/key/revoke.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import { boundCidrsIfKnown } from '#broker/operator/tenant/bound-cidrs.ts';
import type { Context } from '#cli/command/context.ts';
import { seconds } from '#cli/command/duration.ts';
import { limits } from '#cli/command/limit.ts';
import { show } from './issued.ts';
import { knowsPeople, openPeople } from '#cli/command/management.ts';

interface Options {
  name?: string;
  ttl?: number;
  cidr?: string[];
  scope?: string[];
  limit?: string[];
  owner?: string;
  audience?: string;
  environment: string;
}

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

export function issueCommand(context: Context): Command {
  return context
    .command('issue', 'one more API key; those before it go on', [
      ['(umask 077; postern key issue acme --name "web shop" --ttl 90d > key)', 'straight into a file'],
      ['postern key issue acme --scope read:orders --cidr 203.0.113.0/24', 'narrower than acme, and from there only'],
      ['postern key issue acme --limit 600/min', 'at most so often'],
      ["postern key issue acme --owner 'auth0|0123abcd' --scope read:orders --ttl 30d", 'for a person of the organization of acme'],
      ['postern key issue acme --environment test --json | jq -r .key', 'for a script'],
    ])
    .argument('<tenant>')
    .option('--name <text>', 'what it is for: shown by `key list`')
    .option('--ttl <duration>', "its life, e.g. 90d; 0: until revoked (default: the tenant's)", seconds)
    .option('--cidr <block>', 'where it may be used from (repeatable)', collect)
    .option('--scope <scope>', 'narrow it to these scopes of the tenant (repeatable; default: all that it has)', collect)
    .option('--limit <number/unit>', 'most requests by it, such as 100/s, 600/min, 10000/day or 50/burst (repeatable)', collect)
    .option('--owner <user>', "Auth0 id of the person whose key it is, such as 'auth0|0123abcd' (default: the tenant's own)")
    .option('--audience <identifier>', 'of the Auth0 API whose permissions an owner must have (default: POSTERN_SELF_AUDIENCE)')
    .option('--environment <word>', 'a-z and 0-9, readable in the key', DEFAULT_ENVIRONMENT)
    .addHelpText(
      'after',
      `
The key is made here out of Vault's answer, so it can't be response-wrapped as a secret_id can: it is shown once, on
stdout. Hand it over by a channel that you trust, or use \`postern secret issue\`. A key whose showing was interrupted
is in \`postern key list\`: revoke it.
A key with an owner names its scopes and ends as the tenant's self_service says (90 days at most by default). Where
AUTH0_DOMAIN and AUTH0_MGMT_TOKEN are set, Auth0 is asked whether its owner has the permissions, as \`postern owners sync\` does.`,
    )
    .action(
      context.vaultAction<Options, [string]>(async ({ access, options, output, terminal }, tenant) => {
        const { name, ttl, cidr, scope, limit, owner, audience, environment } = options;
        const asked = owner !== undefined && knowsPeople(terminal.env);
        const directory = asked ? await openPeople({ env: terminal.env, audience, signal: terminal.signal }) : undefined;
        const issued = await issueKey(access, {
          tenant,
          environment,
          ...(name === undefined ? {} : { name }),
          ...(ttl === undefined ? {} : { ttl }),
          ...(cidr === undefined ? {} : { cidrs: cidr }),
          ...(scope === undefined ? {} : { scopes: scope }),
          ...(limit === undefined ? {} : { limits: limits(limit) }),
          ...(owner === undefined ? {} : { owner }),
          ...(directory === undefined ? {} : { directory }),
        });
        const bound = await boundCidrsIfKnown(access, tenant);
        await show(output, issued, bound).catch(async (error: unknown) => {
          await revokeKeys(access, { tenant, keys: [issued.key_id] });
          output.warn(`${issued.key_id} is revoked again: nobody has seen it.`);
          throw error;
        });
        if (owner !== undefined && !asked)
          output.warn(
            'What its owner may do at Auth0 was not looked up, since AUTH0_DOMAIN and AUTH0_MGMT_TOKEN are not set: ' +
              '`postern owners sync` ends it if that is less.',
          );
        const state = await showTenant(access, tenant).then(
          ({ state: now }) => now,
          (error: unknown) => {
            if (error instanceof PosternError) return undefined;
            throw error;
          },
        );
        if (state !== undefined && state !== 'active')
          output.warn(`${tenant} is ${state}: this key gets nothing yet (postern tenant show ${tenant}).`);
      }),
    );
}
