import { failed, ok, skipped } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { IssuerInspection, IssuerQuestion, SourceChecks, SourceView } from '#broker/doctor/source-checks.ts';
import { PosternError } from '#broker/error.ts';
import { BINDING_MODES } from './binding.ts';
import type { BindingMode } from './binding.ts';
import { inspectAuth0 } from './inspection.ts';
import { managementIfSet } from './management.ts';

export const auth0Checks: Omit<SourceChecks, 'name'> = {
  inVault: [{ title: 'upstream credential', inspect: inspectCredential }],
  atIssuer: openIssuer,
};

async function inspectCredential(view: SourceView): Promise<Check[]> {
  const title = 'upstream credential';
  const { version, updated_at: at } = await view.credential();
  if (version > 0) return [ok(title, `set, version ${version}${at === null ? '' : `, ${at.slice(0, 19)}Z`}; only brokers can read it`)];
  const needing = (await view.apis()).map(({ name }) => name);
  if (needing.length === 0) return [skipped(title, `no API has the source ${view.source}`)];
  return [
    failed(
      title,
      `is not set, and ${needing.join(', ')} need${needing.length === 1 ? 's' : ''} it`,
      'Set it with `postern upstream import` or `postern upstream set`.',
    ),
  ];
}

async function openIssuer({ env, binding, clientId }: IssuerQuestion): Promise<IssuerInspection | Check> {
  const mode = bindingOf(binding ?? env['POSTERN_AUTH0_BINDING']);
  const management = managementIfSet(env);
  if (management === undefined) return skipped('auth0', 'not looked at', 'Set AUTH0_DOMAIN and AUTH0_MGMT_TOKEN.');
  return async ({ view, onCheck, signal }) => {
    const [apis, tenants] = await Promise.all([view.apis(), view.tenants()]);
    return inspectAuth0({ management, apis, tenants, binding: mode, clientId, onCheck, signal });
  };
}

/** @throws {PosternError} invalid_request */
function bindingOf(text: string | undefined): BindingMode {
  if (!text) return 'action';
  const mode = BINDING_MODES.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw new PosternError('invalid_request', 'POSTERN_AUTH0_BINDING is action or organization');
}
