import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readApis } from '#broker/operator/apis.ts';
import { publishedOf } from '#broker/operator/tenant/publication.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import type { Context, VaultCall } from '#cli/command/context.ts';
import { seconds } from '#cli/command/duration.ts';
import { agentConfiguration } from './configuration.ts';
import type { AgentSpecification } from './configuration.ts';

interface Options {
  plugin?: boolean;
  kv?: boolean;
  api?: string;
  out?: string;
  folder?: string;
  destination?: string;
  wrapped?: boolean;
  env: string;
  interval?: number;
}

/** Most seconds between two looks at KV; a token that lives shorter than four of them is looked at more often. */
const LOOK = 60;

export function configCommand(context: Context): Command {
  return context
    .command('config', "write a Vault Agent's configuration for a tenant: it keeps a fresh access token for the workload", [
      ['postern agent config acme --out agent', 'agent/agent.hcl and agent/role-id; put a secret_id beside them'],
      ['postern agent config acme --folder /etc/postern-agent > agent.hcl', 'for another machine'],
      ['postern agent config acme --out agent -- /usr/bin/worker nightly', 'start the workload, the token in its environment'],
      ['postern agent config acme --out agent --kv --api orders', 'from KV, without the plugin; where the tenant is published'],
    ])
    .argument('<tenant>')
    .argument('[command...]', 'start this with the token in its environment, and again with each new token; after `--`')
    .addOption(new Option('--plugin', 'the token comes from the secrets plugin (default)').conflicts('kv'))
    .option('--kv', 'it comes from the KV cache, where the tenant is published')
    .option('--api <name>', "which API (default: the tenant's default API, or the only one granted)")
    .option('--out <folder>', 'write agent.hcl and role-id there; without it agent.hcl goes to stdout')
    .option('--folder <path>', "where that folder lies on the workload's machine (default: where --out is)")
    .option('--destination <file>', 'the file that holds the token (default: `token` in that folder)')
    .option('--wrapped', 'the file secret-id will hold a wrapping token, as `postern secret issue` gives it')
    .option('--env <name>', 'the variable of its environment that holds it', 'ACCESS_TOKEN')
    .option('--interval <duration>', 'with --kv: between two looks (default: a quarter of the token’s life, at most 1m)', seconds)
    .action(context.vaultAction<Options, [string, string[]]>(configure));
}

async function configure(call: VaultCall<Options>, tenant: string, command: readonly string[]): Promise<void> {
  const { access, options, output } = call;
  const view = await showTenant(access, tenant);
  if (view.role_id === null)
    throw new PosternError('not_found', `${tenant} has no AppRole role, so no Agent can log in for it`, {
      detail: `Run \`postern tenant create ${tenant}\` again to complete it.`,
    });
  const spec = await specificationOf(call, view, command);
  const text = agentConfiguration(spec);
  const { out } = options;
  if (out === undefined) output.result({ tenant, role_id: view.role_id, configuration: text }, text);
  else {
    const files = await write(resolve(out), { 'agent.hcl': text, 'role-id': view.role_id });
    output.result({ tenant, role_id: view.role_id, files }, files.join('\n'));
  }
  for (const problem of view.problems) output.warn(problem);
  if (spec.door.kind === 'kv' && !publishedOf(view, await readApis(access)).includes(spec.door.api))
    output.warn(
      `${spec.door.api} of ${tenant} is not published: nothing lies there until somebody asks a broker, and what lies there may have ended. ` +
        `To publish it: postern tenant create ${tenant} --update${[...view.publish, spec.door.api].map((api) => ` --publish ${api}`).join('')}`,
    );
  if (view.state === 'disabled') output.warn(`${tenant} is disabled: the Agent gets nothing until \`postern tenant enable ${tenant}\`.`);
  output.note(
    `\nNext${out === undefined ? `, on the workload's machine: the client_id ${view.role_id} into ${spec.folder}/role-id, and` : ''}, a ` +
      `secret_id into ${spec.folder}/secret-id:\n` +
      `  (umask 077; postern secret issue ${tenant} ${spec.wrapped ? '--json | jq -r .wrapping_token' : '--no-wrap'} > secret-id)\n` +
      `Then: vault agent -config=${spec.folder}/agent.hcl`,
  );
}

async function specificationOf(
  { access, options }: VaultCall<Options>,
  view: TenantView,
  command: readonly string[],
): Promise<AgentSpecification> {
  const { mounts } = access;
  const { tenant } = view;
  const folder = options.folder ?? (options.out === undefined ? '/etc/postern-agent' : resolve(options.out));
  if (options.interval !== undefined && (options.kv !== true || options.interval < 1))
    throw new PosternError('invalid_request', '--interval is for --kv, and at least 1s', { detail: 'The plugin itself says when.' });
  const name = apiOf(view, options);
  const api = name === undefined ? undefined : (await readApis(access)).get(name);
  if (name !== undefined && api === undefined)
    throw new PosternError('misconfigured', `The API ${name} has no valid document in Vault`, { detail: 'See `postern doctor`.' });
  return {
    vault: {
      address: inHcl('The address of Vault', options.vaultAddr),
      namespace: options.namespace === undefined ? undefined : inHcl('--namespace', options.namespace),
      caFile: options.cacert === undefined ? undefined : absolute('--cacert', resolve(options.cacert)),
    },
    tenant,
    approleMount: mounts.approle,
    folder: absolute('--folder', folder).replace(/\/+$/, ''),
    destination: options.destination === undefined ? undefined : absolute('--destination', options.destination),
    door:
      options.kv === true
        ? {
            kind: 'kv',
            mount: mounts.tokens,
            api: name ?? '',
            interval: options.interval ?? Math.max(1, Math.min(LOOK, Math.floor((api?.lifetime ?? 0) / 4))),
          }
        : { kind: 'plugin', mount: mounts.plugin, audience: options.api === undefined ? undefined : api?.audience },
    wrapped: options.wrapped === true,
    process:
      command.length === 0 ? undefined : { command: command.map((word) => inHcl('The command', word)), variable: variable(options.env) },
  };
}

/** Where KV is read the place has the API's name. @throws {PosternError} */
function apiOf(view: TenantView, { api, kv }: Options): string | undefined {
  const granted = view.grants.map((grant) => grant.api);
  if (api === undefined && kv !== true) return undefined;
  const chosen = api ?? view.default_api ?? (granted.length === 1 ? granted[0] : undefined);
  if (chosen !== undefined && granted.includes(chosen)) return chosen;
  throw new PosternError(
    'invalid_request',
    chosen === undefined ? `${view.tenant} has several APIs: which one?` : `${view.tenant} has no grant for the API "${chosen}"`,
    { detail: granted.length === 0 ? 'It has no grants at all.' : `Name one by --api: ${granted.join(', ')}.` },
  );
}

/** HCL's strings have escapes and `${}`; what needs neither is written as it is. @throws {PosternError} invalid_request */
function inHcl(what: string, text: string): string {
  if (/^[^"\\\p{Cc}]*$/u.test(text) && !/[$%]\{|\{\{/.test(text)) return text;
  throw new PosternError('invalid_request', `${what} holds a character that an Agent's configuration can't`, {
    detail: 'Quotes, backslashes, control characters, ${, %{ and {{ are not taken: put such a command into a script.',
  });
}

function absolute(what: string, path: string): string {
  if (path.startsWith('/')) return inHcl(what, path);
  throw new PosternError('invalid_request', `${what} must be an absolute path`, { detail: 'An Agent may be started from any folder.' });
}

function variable(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw new PosternError('invalid_request', `"${name.slice(0, 40)}" is not the name of a variable`, { detail: 'Such as ACCESS_TOKEN.' });
}

/** For their owner only; what was there before is replaced. @returns the paths @throws {PosternError} invalid_request */
async function write(folder: string, files: Readonly<Record<string, string>>): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const paths = Object.keys(files).map((name) => join(folder, name));
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
    return paths;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string') throw error;
    throw new PosternError('invalid_request', `The folder can't be written (${code})`, { detail: 'See --out.' });
  }
}
