import type { Api } from '#broker/authorization/documents.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { failed, ok, warning } from './check.ts';
import type { Check } from './check.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { listTenants } from '#broker/operator/tenant/tenant.ts';
import type { TenantView } from '#broker/operator/tenant/tenant.ts';

/** Lines that one check lists; more are counted. */
const LISTED = 20;

/** @param sources names of the token sources that this version has */
export async function inspectApis(access: VaultAccess, sources: readonly string[]): Promise<Check[]> {
  const apis = await readApis(access);
  if (apis.size === 0)
    return [warning('apis', 'there is none, so nothing can be issued', 'Name them in the Terraform variable `apis` and apply.')];
  const checks: Check[] = [];
  const audiences = new Map<string, string>();
  for (const [name, api] of apis) {
    if (api === undefined) {
      checks.push(failed(`api: ${name}`, 'its document is not valid', 'Run terraform apply.'));
      continue;
    }
    if (!sources.includes(api.source)) {
      checks.push(
        failed(
          `api: ${name}`,
          `has the source ${api.source}, so brokers leave it out: this version has ${sources.join(', ')}`,
          'Set its source in Terraform, or upgrade Postern.',
        ),
      );
      continue;
    }
    const twin = audiences.get(api.audience);
    if (twin === undefined) audiences.set(api.audience, name);
    else
      checks.push(
        failed(`api: ${name}`, `has the same audience as ${twin}, so brokers leave it out`, 'Give each API its own audience in Terraform.'),
      );
  }
  const lives = [...apis.values()].flatMap((api) => api ?? []).sort((a, b) => b.lifetime - a.lifetime);
  const worst = lives
    .slice(0, LISTED)
    .map(({ name, lifetime }) => `${name} ${lifetime} s`)
    .join(', ');
  // Told, not judged: what is too long only its owner knows.
  if (lives.length > 0)
    checks.push(
      ok(
        'revocation: worst case',
        `where services verify by key set alone, a token handed out lives on for up to: ${worst}; where they introspect, 2 s`,
      ),
    );
  return [...checks, ok('apis', [...apis].flatMap(([name, api]) => (api === undefined ? [] : `${name} (${api.source})`)).join(', '))];
}

export async function inspectTenants(access: VaultAccess): Promise<Check[]> {
  const [tenants, apis] = await Promise.all([listTenants(access), readApis(access)]);
  const wrong = tenants
    .map((tenant) => ({ tenant, problems: [...tenant.problems, ...grantProblems(tenant, apis)] }))
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
    checks.push(failed('tenants', `${wrong.length - LISTED} more tenants are not as they should be`, 'See `postern tenant list --json`.'));
  const count = (state: TenantView['state']): number => tenants.filter((one) => one.state === state).length;
  return [
    ...checks,
    ok('tenants', `${tenants.length}: ${count('active')} active, ${count('disabled')} disabled, ${count('incomplete')} incomplete`),
  ];
}

function grantProblems(tenant: TenantView, apis: ReadonlyMap<string, Api | undefined>): string[] {
  return tenant.grants.flatMap(({ api: name, scopes }) => {
    const api = apis.get(name);
    if (api === undefined) return [`is granted the API ${name}, which does not exist`];
    const unknown = scopes.filter((scope) => !api.scopes.includes(scope));
    return unknown.length === 0 ? [] : [`is granted ${unknown.join(', ')}, which the API ${name} does not have`];
  });
}

export async function inspectAnnouncements(access: VaultAccess): Promise<Check[]> {
  const [{ epoch, disabled }, tenants] = await Promise.all([readAnnouncements(access), listTenants(access)]);
  const gone = disabled.filter((name) => !tenants.some(({ tenant }) => tenant === name));
  if (gone.length > 0) {
    return [
      warning(
        'announcements',
        `disabled, but no tenants (any more): ${gone.slice(0, LISTED).join(', ')}`,
        `Their deletion was interrupted: postern tenant delete ${gone[0]} --yes`,
      ),
    ];
  }
  return [
    ok(
      'announcements',
      epoch === 0 ? 'none yet' : `${epoch} so far; disabled: ${disabled.length === 0 ? 'nobody' : disabled.slice(0, LISTED).join(', ')}`,
    ),
  ];
}
