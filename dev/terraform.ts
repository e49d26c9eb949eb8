import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PosternError } from '#broker/error.ts';
import { productOf } from '#tools/part/server.ts';
import { findProviders, findTerraform } from '#tools/part/terraform.ts';
import { cleanEnvironment } from '#tools/process/environment.ts';
import { runGroup } from '#tools/process/group.ts';
import { startReaper } from '#tools/process/reaper.ts';
import type { Reaper } from '#tools/process/reaper.ts';
import { attachProviders } from './terraform-provider.ts';
import type { Attached } from './terraform-provider.ts';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

/** Variables that are secret go by environment; the others into a file in the state directory. */
const SECRET_VARIABLES = ['oidc_client_secret'];

export interface TerraformOptions {
  /** `http://127.0.0.1:8200`. */
  vaultAddress: string;
  /** Needs what `terraform/` manages: mounts, auth methods, policies, quotas, audit. Reaches Terraform by environment only. */
  vaultToken: string;
  /** Values of the variables in `terraform/variables.tf`. */
  variables: Readonly<Record<string, unknown>>;
  /** Files of variables (`.tfvars`), absolute; `variables` has the last word. */
  variableFiles?: readonly string[];
  /** Further files of configuration, by name, such as a user lays beside ours: `import` blocks. */
  files?: Readonly<Record<string, string>>;
  /** Holds the state and a copy of the configuration, so that the checkout stays clean. Made with mode 0700. */
  stateDirectory: string;
  /** More environment for the providers, such as AUTH0_API_TOKEN. */
  environment?: Readonly<Record<string, string>>;
  /** Who ends Terraform and its providers when we are killed. Default: one of its own. */
  reaper?: Reaper;
  report?: (line: string) => void;
  signal?: AbortSignal;
}

/**
 * Applies `terraform/` to a Vault.
 *
 * @returns the outputs as Terraform types them, and how long it took in seconds.
 * @throws PosternError `misconfigured` with Terraform's own messages.
 */
export async function applyTerraform(options: TerraformOptions): Promise<{ outputs: Record<string, unknown>; seconds: number }> {
  const begin = performance.now();
  await using terraform = await prepare(options);
  await terraform.run(['apply', '-auto-approve', '-backup=-', ...terraform.variables]);
  const { stdout } = await terraform.run(['output', '-json']);
  const typed = JSON.parse(stdout) as Record<string, { value: unknown }>;
  const outputs = Object.fromEntries(Object.entries(typed).map(([name, { value }]) => [name, value]));
  return { outputs, seconds: secondsSince(begin) };
}

/**
 * Compares `terraform/` with a Vault and changes nothing.
 *
 * @returns whether an apply would change anything, and Terraform's report of what.
 * @throws PosternError `misconfigured` with Terraform's own messages.
 */
export async function planTerraform(options: TerraformOptions): Promise<{ changes: boolean; text: string; seconds: number }> {
  const begin = performance.now();
  await using terraform = await prepare(options);
  const { stdout, exitCode } = await terraform.run(['plan', '-detailed-exitcode', ...terraform.variables]);
  return { changes: exitCode === CHANGES, text: stdout, seconds: secondsSince(begin) };
}

/**
 * Removes everything that {@link applyTerraform} made with this state directory, the tenants' documents and cached tokens included.
 *
 * @throws PosternError `misconfigured` with Terraform's own messages.
 */
export async function destroyTerraform(options: TerraformOptions): Promise<{ seconds: number }> {
  const begin = performance.now();
  await using terraform = await prepare(options);
  await terraform.run(['destroy', '-auto-approve', '-backup=-', ...terraform.variables]);
  return { seconds: secondsSince(begin) };
}

/** A whole installation takes ten seconds, or a minute beside much else: what takes this long waits for something that won't come, ms. */
const STUCK_MS = 100_000;
/** How long Terraform has to tell what its providers ended with, ms. */
const TOLD_MS = 5_000;

/** Exit code of `plan -detailed-exitcode` when there is something to do. */
const CHANGES = 2;

interface Ran {
  stdout: string;
  exitCode: number | undefined;
  /** Where it failed, Terraform's own words. */
  said: string | undefined;
}

interface Terraform extends AsyncDisposable {
  run(args: readonly string[]): Promise<Ran>;
  /** Arguments of commands that take variables. */
  variables: readonly string[];
}

/** Puts a copy of the configuration into the state directory and initializes it, which takes a tenth of a second. */
async function prepare(options: TerraformOptions): Promise<Terraform> {
  const { stateDirectory: home } = options;
  await using starting = new AsyncDisposableStack();
  const reaper = options.reaper ?? startReaper();
  if (options.reaper === undefined) starting.defer(() => reaper.close());
  const [program, providers] = await Promise.all([findTerraform(options.report), findProviders(options.report)]);
  const configuration = join(home, 'configuration');
  await mkdir(home, { recursive: true, mode: 0o700 });
  await rm(configuration, { recursive: true, force: true });
  for (const folder of ['terraform', 'vault-policies']) {
    await cp(join(CHECKOUT, folder), join(configuration, folder), {
      recursive: true,
      // A user who runs Terraform in the checkout has a state there, which is not this one.
      filter: (path) => !/\.terraform|\.tfstate|\.tfvars/.test(path),
    });
  }

  const state = { terraform: { backend: { local: { path: join(home, 'terraform.tfstate') } } } };
  await writeFile(join(configuration, 'terraform', 'backend_override.tf.json'), JSON.stringify(state));

  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(configuration, 'terraform', name), text);

  // OpenBao takes audit devices from its own configuration only.
  const given = productOf() === 'openbao' ? { audit: null, ...options.variables } : options.variables;
  const plain = Object.entries(given).filter(([name]) => !SECRET_VARIABLES.includes(name));
  const variables = join(home, 'variables.tfvars.json');
  await writeFile(variables, JSON.stringify(Object.fromEntries(plain), null, 2), { mode: 0o600 });
  const secret = SECRET_VARIABLES.flatMap((name) => {
    const value = options.variables[name];
    return typeof value === 'string' ? [[`TF_VAR_${name}`, value] as const] : [];
  });

  const env: Record<string, string> = {
    // Not TF_LOG, which would print requests with their tokens, nor anything else of TF_* and VAULT_*.
    ...cleanEnvironment(process.env),
    ...providers.env,
    ...options.environment,
    ...Object.fromEntries(secret),
    VAULT_ADDR: options.vaultAddress,
    VAULT_TOKEN: options.vaultToken,
    TF_DATA_DIR: join(home, 'data'),
    TF_IN_AUTOMATION: '1',
    TF_INPUT: '0',
    CHECKPOINT_DISABLE: '1',
    // Programs that live for seconds: Go would spend an eighth of them on memory that their end frees.
    GOGC: '400',
  };
  const once = async (args: readonly string[], attached?: Attached): Promise<Ran> => {
    const [command = ''] = args;
    // Terraform finishes the request it is in and writes its state before it stops. A second interrupt would make it drop that, and its
    // providers don't notice when it is killed.
    const folder = join(configuration, 'terraform');
    const stuck = new AbortController();
    const ending = setTimeout(() => attached?.end(), STUCK_MS);
    const late = setTimeout(() => stuck.abort(), STUCK_MS + TOLD_MS);
    const signal = AbortSignal.any([stuck.signal, ...(options.signal ? [options.signal] : [])]);
    const whole = { env: { ...env, ...attached?.env } };
    const { failed, exitCode, ...result } = await runGroup(program.path, [`-chdir=${folder}`, ...args], whole, { signal, reaper });
    clearTimeout(ending);
    clearTimeout(late);
    options.signal?.throwIfAborted();
    const said = readable(result.stderr || (result.shortMessage ?? ''));
    return { stdout: result.stdout, exitCode, said: failed && !(command === 'plan' && exitCode === CHANGES) ? said : undefined };
  };
  const run = async (args: readonly string[], attached?: Attached): Promise<Ran> => {
    let result = await once(args, attached);
    const crashes = attached?.crashes() ?? [];
    if (result.said !== undefined && crashes.length > 0) {
      // Their fault, and not the configuration's: what an apply has begun the next one finishes.
      options.report?.(`terraform ${args[0]}: ${crashes[0]}; once more, with providers that Terraform starts`);
      result = await once(args);
    }
    if (result.said !== undefined)
      throw new PosternError('misconfigured', `terraform ${args[0]} failed.\n${[...crashes, result.said].join('\n')}`);
    return result;
  };

  await run(['init', '-no-color', '-reconfigure']);
  const attached = starting.use(await attachProviders(providers.parts, env, reaper));
  const running = starting.move();
  return {
    run: (args) => run(args, attached),
    variables: ['-no-color', ...[...(options.variableFiles ?? []), variables].map((file) => `-var-file=${file}`)],
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Terraform's messages without the boxes that it draws around them. */
function readable(text: string): string {
  return text
    .replaceAll(/^[│╷╵] ?/gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
}

const secondsSince = (begin: number): number => Math.round(performance.now() - begin) / 1000;
