import type { ManagementClient } from 'auth0';
import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { failed, ok, skipped, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import { findSharedApplication } from './application.ts';
import type { SharedApplication } from './application.ts';
import { TENANT_PARAMETER } from './binding.ts';
import type { BindingMode } from './binding.ts';
import { explainManagement } from './management.ts';

export interface Auth0InspectionOptions {
  management: ManagementClient;
  /** Those whose tokens come from Auth0. */
  apis: readonly Api[];
  tenants: readonly { readonly tenant: string; readonly organization: string | null }[];
  binding: BindingMode;
  /** The shared application's; undefined: it is found by Terraform's mark. */
  clientId: string | undefined;
  onCheck?: (check: Check) => void;
  signal: AbortSignal | undefined;
}

const APPLY = 'Apply terraform/modules/auth0.';
const TRIGGER = 'credentials-exchange';

/** Whether Auth0 is set up as Vault's documents say: APIs, shared application, its grants, and what binds a token to its tenant. */
export async function inspectAuth0(options: Auth0InspectionOptions): Promise<Check[]> {
  const checks: Check[] = [];
  const take = async (name: string, work: () => Promise<Check[]>): Promise<void> => {
    options.signal?.throwIfAborted();
    const more = await work().catch((error: unknown) => {
      if (error instanceof PosternError) return [failed(name, error.message, error.detail ?? '')];
      throw error;
    });
    for (const check of more) {
      checks.push(check);
      options.onCheck?.(check);
    }
  };
  let application: SharedApplication | undefined;
  await take('auth0: shared application', async () => {
    application = await findSharedApplication(options.management, options.clientId);
    return [applicationCheck(application, options.binding)];
  });
  // Where Auth0 refuses the token, the other checks would only repeat it.
  if (application === undefined) return checks;
  for (const api of options.apis) await take(`auth0: API ${api.name}`, async () => [await apiCheck(options.management, api)]);
  await take('auth0: client grants', () => grantChecks(options, application as SharedApplication));
  if (options.binding === 'action') await take('auth0: Action', async () => [await actionCheck(options.management)]);
  await take('auth0: organizations', () => organizationChecks(options));
  return checks;
}

function applicationCheck({ clientId, name, grantTypes, organizationUsage }: SharedApplication, binding: BindingMode): Check {
  const title = 'auth0: shared application';
  if (!grantTypes.includes('client_credentials')) return failed(title, `${name} (${clientId}) does not allow client_credentials`, APPLY);
  if (binding === 'organization' && organizationUsage !== 'allow' && organizationUsage !== 'require') {
    return failed(title, `${name} (${clientId}) takes no organization, which the binding needs`, `${APPLY} (organization_usage = "allow")`);
  }
  return ok(title, `${name} (${clientId})`);
}

async function apiCheck(management: ManagementClient, api: Api): Promise<Check> {
  const title = `auth0: API ${api.name}`;
  const found = await (async () => {
    for await (const one of await management.resourceServers.list({ identifiers: [api.audience], per_page: 100, include_totals: true }))
      if (one.identifier === api.audience) return one;
    return undefined;
  })().catch((error: unknown) => {
    throw explainManagement(error, `find the API ${api.audience}`, 'read:resource_servers');
  });
  if (found === undefined) return failed(title, `Auth0 has no API with the identifier ${api.audience}`, APPLY);
  const scopes = (found.scopes ?? []).map(({ value }) => value);
  const missing = api.scopes.filter((scope) => !scopes.includes(scope));
  if (missing.length > 0)
    return failed(title, `Auth0 does not know its scope${missing.length === 1 ? '' : 's'} ${missing.join(', ')}`, APPLY);
  if (found.signing_alg !== undefined && found.signing_alg !== 'RS256')
    return failed(title, `is signed with ${found.signing_alg}; brokers take RS256 only`, APPLY);
  const differs: string[] = [];
  if (found.token_lifetime !== undefined && found.token_lifetime !== api.lifetime)
    differs.push(`tokens live ${found.token_lifetime} s, Vault says ${api.lifetime} s`);
  if (found.token_dialect !== undefined && found.token_dialect !== api.dialect)
    differs.push(`the dialect is ${found.token_dialect}, Vault says ${api.dialect}`);
  return differs.length > 0
    ? warning(title, differs.join('; '), APPLY)
    : ok(title, `${api.audience}: ${api.scopes.join(', ') || 'no scopes'}`);
}

async function grantChecks({ management, apis, binding }: Auth0InspectionOptions, { clientId }: SharedApplication): Promise<Check[]> {
  const grants = new Map<string, { scope: readonly string[]; all: boolean; organization: string | undefined; any: boolean }>();
  try {
    for await (const grant of await management.clientGrants.list({ client_id: clientId, take: 100 })) {
      if (grant.audience === undefined) continue;
      grants.set(grant.audience, {
        scope: grant.scope ?? [],
        all: grant.allow_all_scopes === true,
        organization: grant.organization_usage,
        any: grant.allow_any_organization === true,
      });
    }
  } catch (error) {
    throw explainManagement(error, 'list the client grants', 'read:client_grants');
  }
  return apis.map((api) => {
    const title = `auth0: grant for ${api.name}`;
    const grant = grants.get(api.audience);
    if (grant === undefined) return failed(title, `the shared application has no grant for ${api.audience}`, APPLY);
    const missing = grant.all ? [] : api.scopes.filter((scope) => !grant.scope.includes(scope));
    if (missing.length > 0) return failed(title, `lacks ${missing.join(', ')}`, APPLY);
    if (binding === 'organization' && !['allow', 'require'].includes(grant.organization ?? '')) {
      return failed(
        title,
        'takes no organization, which the binding needs',
        'Set organization_usage = "allow" and allow_any_organization = true on this client grant ' +
          '(terraform-provider-auth0 1.1 or later, or the dashboard).',
      );
    }
    if (binding === 'organization' && !grant.any)
      return warning(
        title,
        'takes only organizations that are named on it',
        "Set allow_any_organization = true, or grant it to each tenant's organization.",
      );
    return ok(title, grant.all ? 'all scopes' : grant.scope.join(', ') || 'no scopes');
  });
}

/** The Action is recognized by the parameter that it reads. */
async function actionCheck(management: ManagementClient): Promise<Check> {
  const title = 'auth0: Action';
  const isOurs = (code: string | undefined): boolean => code?.includes(TENANT_PARAMETER) === true;
  try {
    const bound: string[] = [];
    for await (const { action } of await management.actions.triggers.bindings.list(TRIGGER, { per_page: 50 }))
      if (action?.id !== undefined) bound.push(action.id);
    for (const id of bound) {
      const action = await management.actions.get(id);
      if (!isOurs(action.code) && !isOurs(action.deployed_version?.code)) continue;
      if (action.deployed_version === undefined || !isOurs(action.deployed_version.code ?? action.code))
        return failed(title, `"${action.name}" is bound to ${TRIGGER}, but not deployed`, `Deploy it. ${APPLY}`);
      if (action.all_changes_deployed === false)
        return warning(title, `"${action.name}" is deployed and bound, and has changes that are not deployed`, 'Deploy or drop them.');
      return ok(title, `"${action.name}" is deployed and bound to ${TRIGGER}`);
    }
    for await (const action of await management.actions.list({ triggerId: TRIGGER, per_page: 50 })) {
      if (isOurs(action.code))
        return failed(
          title,
          `"${action.name}" exists, but is not bound to ${TRIGGER}: no token would be bound to its tenant, and brokers refuse all`,
          `${APPLY} (manage_trigger = true), or bind it by hand.`,
        );
    }
  } catch (error) {
    throw explainManagement(error, 'look at the Actions', 'read:actions');
  }
  return failed(
    title,
    `no Action on ${TRIGGER} reads ${TENANT_PARAMETER}: no token would be bound to its tenant, and brokers refuse all`,
    APPLY,
  );
}

async function organizationChecks({ management, tenants, binding }: Auth0InspectionOptions): Promise<Check[]> {
  const title = 'auth0: organizations';
  const checks: Check[] = [];
  const without = tenants.filter(({ organization }) => organization === null).map(({ tenant }) => tenant);
  if (binding === 'organization' && without.length > 0) {
    checks.push(
      failed(
        title,
        `no organization: ${without.slice(0, 20).join(', ')}${without.length > 20 ? ` and ${without.length - 20} more` : ''}`,
        'postern tenant create … --update --organization org_…, or Terraform.',
      ),
    );
  }
  const named = tenants.flatMap(({ tenant, organization }) => (organization === null ? [] : [{ tenant, organization }]));
  if (named.length === 0) return checks.length > 0 ? checks : [skipped(title, 'no tenant has one')];
  let found = 0;
  for (const { tenant, organization } of named) {
    try {
      await management.organizations.get(organization);
      found += 1;
    } catch (error) {
      const said = explainManagement(error, `find the organization ${organization}`, 'read:organizations');
      if (!(said instanceof PosternError && said.code === 'not_found')) throw said;
      checks.push(failed(`${title}: ${tenant}`, `Auth0 has no organization ${organization}`, 'Name the right one, or make it.'));
    }
  }
  return found > 0 ? [...checks, ok(title, `${found} found`)] : checks;
}
