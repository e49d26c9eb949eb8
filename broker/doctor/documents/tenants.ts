import { failed, LISTED, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { outOf } from '#broker/doctor/sample.ts';
import type { Api } from '#broker/authorization/documents.ts';
import { MAX_TOKEN_TTL } from '#broker/credential/identity.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';

const title = 'tenants';

export const tenants: Inspection = {
  title,
  async inspect(view) {
    const [all, apis, sample] = await Promise.all([view.tenants(), view.apis(), view.sample()]);
    const wrong = all
      .map((tenant) => ({ tenant, problems: [...tenant.problems, ...lifeProblems(tenant), ...grantProblems(tenant, apis)] }))
      .filter(({ problems }) => problems.length > 0);
    const checks = wrong
      .slice(0, LISTED)
      .map(({ tenant: { tenant }, problems }) =>
        failed(
          `tenant: ${tenant}`,
          problems.join('; '),
          `postern tenant create ${tenant} --update … sets it right, or terraform apply where Terraform manages it.`,
        ),
      );
    if (wrong.length > LISTED)
      checks.push(
        failed(title, `${wrong.length - LISTED} more tenants are not as they should be`, 'See `postern tenant list --json --full`.'),
      );
    const count = (state: TenantView['state']): number => all.filter((one) => one.state === state).length;
    return [
      ...checks,
      ok(title, `${outOf(sample)}: ${count('active')} active, ${count('disabled')} disabled, ${count('incomplete')} incomplete`),
    ];
  },
};

function lifeProblems({ token_ttl: ttl }: TenantView): string[] {
  return ttl > MAX_TOKEN_TTL ? [`its role gives Vault tokens of ${ttl} s, which brokers refuse: ${MAX_TOKEN_TTL} s at most`] : [];
}

function grantProblems(tenant: TenantView, apis: ReadonlyMap<string, Api | undefined>): string[] {
  return tenant.grants.flatMap(({ api: name, scopes }) => {
    const api = apis.get(name);
    if (api === undefined) return [`is granted the API ${name}, which does not exist`];
    const unknown = scopes.filter((scope) => !api.scopes.includes(scope));
    return unknown.length === 0 ? [] : [`is granted ${unknown.join(', ')}, which the API ${name} does not have`];
  });
}
