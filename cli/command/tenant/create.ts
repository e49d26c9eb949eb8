import { Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { QuotaPart } from '#broker/authorization/documents.ts';
import type { TenantSpecification } from '#broker/operator/tenant/specification.ts';
import { GrantsLeftOut, createTenant } from '#broker/operator/tenant/create.ts';
import type { Context } from '#cli/command/context.ts';
import { count, seconds } from '#cli/command/duration.ts';
import { limits } from '#cli/command/limit.ts';
import { confirm } from '#cli/command/secret-input.ts';
import { tenantText } from './show.ts';
import { warnOfTerraform } from './terraform.ts';

interface Options {
  grant?: string[] | false;
  defaultApi?: string | false;
  introspect?: string[] | false;
  publish?: string[] | false;
  organization?: string | false;
  claim?: string[] | false;
  cidr?: string[] | false;
  limit?: string[] | false;
  quota?: string | false;
  tokenTtl?: number;
  secretTtl?: number;
  secretNumUses?: number;
  update?: boolean;
  replace?: boolean;
  force?: boolean;
}

const collect = (value: string, before: string[] | boolean | undefined): string[] => [...(Array.isArray(before) ? before : []), value];

export function createCommand(context: Context): Command {
  return context
    .command('create', 'make a tenant, or change one with --update', [
      ['postern tenant create acme --grant orders=read:orders,write:orders --grant reports=read:reports', 'two APIs, with their scopes'],
      ['postern tenant create acme --grant orders=read:orders --default-api orders', 'an exchange may leave the audience out'],
      ['postern tenant create acme --update --claim https://example.com/plan=gold', 'change the claims; all else stays'],
      ['postern tenant create acme --update --no-cidr', 'let its credentials be used from anywhere'],
    ])
    .argument('<tenant>', 'its id: a-z, 0-9 and -, at most 63 characters')
    .addOption(
      new Option('--grant <api=scope,…>', 'an API it may use, with the scopes (repeatable); `api=` grants it without scopes').argParser(
        collect,
      ),
    )
    .addOption(new Option('--no-grant', 'with --update: no API any more'))
    .option('--default-api <api>', 'the API where a request names no audience')
    .addOption(new Option('--no-default-api', 'with --update: none'))
    .addOption(
      new Option('--introspect <api>', 'an API that it serves, so that it may introspect all tokens for it (repeatable)').argParser(
        collect,
      ),
    )
    .addOption(new Option('--no-introspect', 'with --update: none'))
    .addOption(
      new Option(
        '--publish <api>',
        'an API whose token brokers keep fresh in KV, for a Vault Agent without the plugin (repeatable)',
      ).argParser(collect),
    )
    .addOption(new Option('--no-publish', 'with --update: none'))
    .option('--organization <org_…>', 'its Auth0 organization id')
    .addOption(new Option('--no-organization', 'with --update: none'))
    .addOption(new Option('--claim <uri=value>', 'a claim of its tokens (repeatable); the name is a URI').argParser(collect))
    .addOption(new Option('--no-claim', 'with --update: none'))
    .addOption(new Option('--cidr <block>', 'where its credentials may be used from (repeatable)').argParser(collect))
    .addOption(new Option('--no-cidr', 'with --update: from anywhere'))
    .addOption(
      new Option('--limit <number/unit>', 'most requests for tokens, such as 100/s, 600/min, 10000/day or 50/burst (repeatable)').argParser(
        collect,
      ),
    )
    .addOption(new Option('--no-limit', 'with --update: none'))
    .addOption(new Option('--quota <tokens>', "most new tokens of Auth0 in a month, or a share of the application's such as 5%"))
    .addOption(new Option('--no-quota', 'with --update: as many as it likes'))
    .option('--token-ttl <duration>', 'life of the Vault token behind one login: 30s, 1m, 2m, 5m (default), 10m, 15m, 30m or 1h', seconds)
    .option('--secret-ttl <duration>', 'longest life of its secret_ids; 0: until revoked (default)', seconds)
    .option('--secret-num-uses <number>', 'most logins of each secret_id; 0: no limit (default)', count)
    .option('--update', 'change the tenant that is there; what is not named stays')
    .option('--replace', 'with --update and --grant: it has only the grants that are named; else leaving one out is refused')
    .option('--force', 'use the name of a deleted tenant though access tokens of that one may still be alive')
    .addHelpText(
      'after',
      '\nA tenant in the Terraform variable `tenants` is changed there: the next apply would undo what is changed here.',
    )
    .action(
      context.vaultAction<Options, [string]>(async (call, tenant) => {
        const { access, options, output, terminal } = call;
        const make = (replace: boolean): ReturnType<typeof createTenant> =>
          createTenant(access, tenant, specification(options), {
            update: options.update === true,
            replace: replace || options.grant === false,
            force: options.force === true,
          });
        const made = await make(options.replace === true).catch(async (error: unknown) => {
          // Who types can be asked; a script says what it means.
          if (!(error instanceof GrantsLeftOut && terminal.stdin.isTTY)) throw error;
          if (!(await confirm(terminal, `${error.message}. Take them away?`))) throw error;
          return make(true);
        });
        output.result(made, tenantText(output, made));
        for (const problem of made.problems) output.warn(problem);
        if (options.update === true) await warnOfTerraform(call, tenant);
        if (options.update !== true) output.note(`\nNext, a credential for it: postern secret issue ${tenant}`);
      }),
    );
}

/** @throws {PosternError} invalid_request */
export function specification(options: Options): TenantSpecification {
  const { grant, claim, cidr, limit, defaultApi, introspect, publish, organization, tokenTtl, secretTtl, secretNumUses } = options;
  // Commander gives `true` where only the `--no-` form is defined by default.
  return {
    ...(Array.isArray(grant) ? { grants: grant.map(parseGrant) } : grant === false ? { grants: [] } : {}),
    ...(typeof defaultApi === 'string' ? { defaultApi } : defaultApi === false ? { defaultApi: null } : {}),
    ...(Array.isArray(introspect) ? { introspects: introspect } : introspect === false ? { introspects: [] } : {}),
    ...(Array.isArray(publish) ? { publish } : publish === false ? { publish: [] } : {}),
    ...(typeof organization === 'string' ? { organization } : organization === false ? { organization: null } : {}),
    ...(Array.isArray(claim) ? { claims: Object.fromEntries(claim.map(parseClaim)) } : claim === false ? { claims: {} } : {}),
    ...(Array.isArray(cidr) ? { cidrs: cidr } : cidr === false ? { cidrs: [] } : {}),
    ...(Array.isArray(limit) ? { limits: limits(limit) } : limit === false ? { limits: null } : {}),
    ...(typeof options.quota === 'string' ? { quota: parseQuota(options.quota) } : options.quota === false ? { quota: null } : {}),
    ...(tokenTtl === undefined ? {} : { tokenTtl }),
    ...(secretTtl === undefined ? {} : { secretIdTtl: secretTtl }),
    ...(secretNumUses === undefined ? {} : { secretIdNumUses: secretNumUses }),
  };
}

export function parseGrant(text: string): { api: string; scopes: string[] } {
  const at = text.indexOf('=');
  if (at < 1) {
    throw new PosternError('invalid_request', `"${text}" is not a grant`, {
      detail: 'Write api=scope1,scope2, e.g. orders=read:orders,write:orders; `orders=` grants the API without scopes.',
    });
  }
  const scopes = text
    .slice(at + 1)
    .split(/[\s,]+/)
    .filter((scope) => scope !== '');
  return { api: text.slice(0, at), scopes };
}

/** `500` tokens a month, or `5%` of the application's. @throws {PosternError} invalid_request */
function parseQuota(text: string): QuotaPart {
  const [, number = '', percent] = /^(\d{1,10}|\d{1,3}(?:\.\d{1,4})?(?=%))(%?)$/.exec(text) ?? [];
  const value = Number(number);
  if (number === '' || (percent === '%' ? value <= 0 || value > 100 : value > 1_000_000_000))
    throw new PosternError(
      'invalid_request',
      `--quota ${JSON.stringify(text.slice(0, 40))} is neither tokens a month, such as 500, nor a share, such as 5%`,
    );
  return percent === '%' ? { share: value / 100 } : { monthly: value };
}

function parseClaim(text: string): [string, string] {
  // The name is a URI and may hold an = in its query; the value begins after the last one of the name.
  const match = /^(https?:\/\/[^\s=?]+(?:\?[^\s]*)?)=(.*)$/s.exec(text);
  if (match === null)
    throw new PosternError('invalid_request', `"${text}" is not a claim`, {
      detail: 'Write uri=value, e.g. https://example.com/plan=gold: Auth0 drops claims whose name is not a URI.',
    });
  return [match[1] ?? '', match[2] ?? ''];
}
