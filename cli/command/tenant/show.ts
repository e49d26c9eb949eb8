import type { Command } from 'commander';
import { listTrusts } from '#broker/operator/trust/view.ts';
import type { TrustView } from '#broker/operator/trust/view.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import type { Context } from '#cli/command/context.ts';
import { inWords } from '#cli/command/duration.ts';
import { formatLimits } from '#broker/rate-limit/limits.ts';
import type { Output } from '#cli/output.ts';

export function showCommand(context: Context): Command {
  return context
    .command('show', 'one tenant: its grants, limits and client_id', [
      ['postern tenant show acme', "its role_id is the customer's client_id"],
    ])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, tenant) => {
        const found = await showTenant(access, tenant);
        // One that is there in part has no client_id under which they could be.
        const trusts = found.role_id === null ? [] : await listTrusts(access, tenant);
        output.result({ ...found, trusts }, tenantText(output, found, trusts));
        for (const problem of found.problems) output.warn(problem);
        for (const { name, problem } of trusts) if (problem !== null) output.warn(`brokers refuse the trust ${name}: ${problem}`);
      }),
    );
}

function stateText(output: Output, state: TenantView['state']): string {
  return output.style(state === 'active' ? 'green' : state === 'disabled' ? 'yellow' : 'red', state);
}

export function tenantText(output: Output, tenant: TenantView, trusts?: readonly TrustView[]): string {
  const claims = Object.entries(tenant.claims).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return output.fields([
    ['tenant', output.style('bold', tenant.tenant)],
    ['state', stateText(output, tenant.state)],
    ['client_id', tenant.role_id ?? 'none'],
    ...list(
      'grant',
      tenant.grants.map(({ api, scopes }) => `${api}: ${scopes.join(' ') || '(no scopes)'}`),
    ),
    ['default API', tenant.default_api ?? 'none'],
    ...(tenant.publish.length === 0 ? [] : list('published in KV', [tenant.publish.join(' ')])),
    ...(tenant.introspects.length === 0 ? [] : list('introspects', [tenant.introspects.join(' ')])),
    ['organization', tenant.organization ?? 'none'],
    ...(tenant.self_service === null
      ? []
      : [['its people', `make keys of up to ${inWords(tenant.self_service.max_ttl)}: ${tenant.self_service.keys_per_user} each`] as const]),
    ...(tenant.limits === null ? [] : [['requests', `at most ${formatLimits(tenant.limits).replaceAll(',', ', ')}`] as const]),
    ...(tenant.quota === null
      ? []
      : [
          [
            'tokens of Auth0',
            'monthly' in tenant.quota
              ? `at most ${tenant.quota.monthly} a month`
              : `${Number((tenant.quota.share * 100).toFixed(6))} % of all`,
          ] as const,
        ]),
    ...list('claim', claims),
    ...(trusts ?? []).map((one, at): [string, string] => [
      at === 0 ? 'trust' : '',
      `${one.name}: ${one.subject ?? one.subject_pattern ?? '-'} of ${one.issuer}`,
    ]),
    ['usable from', tenant.cidrs.join(', ') || 'anywhere'],
    ['login lasts', inWords(tenant.token_ttl)],
    [
      'secret_ids',
      `${tenant.secret_id_ttl === 0 ? 'until revoked' : `at most ${inWords(tenant.secret_id_ttl)}`}, ${tenant.secret_id_num_uses === 0 ? 'any number of logins' : `${tenant.secret_id_num_uses} logins`}`,
    ],
    // What nobody can take back, said before somebody relies on it.
    ...list(
      'a token lives on',
      tenant.lives_on.map(
        ({ api, seconds }) => `${api}: up to ${inWords(seconds)} after a revocation, at services that verify without asking`,
      ),
    ),
  ]);
}

function list(name: string, values: readonly string[]): [string, string][] {
  if (values.length === 0) return [[name, 'none']];
  return values.map((value, at) => [at === 0 ? name : '', value]);
}
