import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VaultClient } from '#broker/vault/client.ts';
import { findParts } from '#tools/part/parts.ts';
import { PRODUCT_NAME, productOf } from '#tools/part/server.ts';
import { abortable } from './abortable.ts';
import { takeFolder } from './folder.ts';
import { directLoopback } from './loopback.ts';
import { addSaas, logStreamSettings, setUpOrganization } from './organization.ts';
import type { Application } from './organization.ts';
import { startAuth0 } from './auth0.ts';
import { startBrokerProcess } from './broker.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { checkTemporary } from '#tools/process/storage.ts';
import {
  ADMIN_AUDIENCE,
  APIS,
  CONSOLE_CLIENT,
  M2M_CLIENT,
  OIDC_CALLBACK,
  OPERATORS_CLIENT,
  ORGANIZATIONS,
  SELF_AUDIENCE,
  TENANTS,
  TENANTS_WITH_PEOPLE,
  auth0Account,
  consoleOf,
} from './scenario.ts';
import { noteSecret } from './secret.ts';
import { startSelfService } from './self-service.ts';
import { startService } from './service.ts';
import { applyTerraform } from './terraform.ts';
import { terraformToken } from './terraform-token.ts';
import { auditDevice, startDevVault } from './vault.ts';
import type { Auth0StandIn } from './auth0.ts';
import type { BrokerProcess } from './broker.ts';
import type { TenantName } from './scenario.ts';
import type { SampleService } from './service.ts';
import type { DevVault } from './vault.ts';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

export interface StackOptions {
  /** What is going on now, in a few words; a `remark` must stay to be seen. */
  report?: (line: string, kind?: 'remark') => void;
  /** A part of the start-up is done. */
  onStep?: (step: string, seconds: number) => void;
  /** Folder of this stack in `.postern/`; default one named after our pid. Another running stack's is refused. */
  name?: string;
  /** Aborting ends the start-up; what has started by then is stopped. */
  signal?: AbortSignal;
  /** Where children's logs go besides going away with the stack; the tests' POSTERN_TEST_LOGS. */
  logFolder?: string | undefined;
  /** Ports on 127.0.0.1 for what people type; default any free ones. */
  ports?: { broker?: number; service?: number; admin?: number; selfService?: number };
  /** Settings of the broker on top of the stack's own. */
  env?: Readonly<Record<string, string>>;
  /** A plugin directory for Vault, in the stack's folder. Default: none. */
  plugins?: boolean;
}

/** The embedded default, running. */
export interface Stack {
  vault: DevVault;
  /** Speaks to Vault; each call names its own token. */
  client: VaultClient;
  auth0: Auth0StandIn;
  broker: BrokerProcess;
  service: SampleService;
  /** `http://127.0.0.1:PORT` of the admin API, where a port was named for it. */
  admin: string | undefined;
  /** `http://127.0.0.1:PORT` of a customer's page (examples/self-service), where a port was named for it. */
  selfService: string | undefined;
  roleIds: Record<TenantName, string>;
  /** `folder` holds what goes away with the stack. */
  files: {
    folder: string;
    brokerLog: string;
    vaultAudit: string;
    /** Vault's plugin_directory, where the stack has one. */
    plugins: string | undefined;
  };
  /** The shared Auth0 application, for whoever sets up the plugin by hand. */
  m2m: Application;
  /** The web application in which acme's people make keys. */
  saas: Application & { callback: string };
  /** An application with all of the Management API. */
  management: Application;
  /** The programs that were found. */
  programs: { vault: string };
  /** Ends all, in order, and removes its folder. Twice is harmless. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Vault, the stand-in for Auth0, `terraform apply`, the broker and a sample API, all on loopback,
 * all files in `.postern/` of the checkout. Whatever fails half-way, nothing stays behind.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { signal } = options;
  const report = (line: string, kind?: 'remark'): void => {
    // Ctrl-C also ends a program that is only asked for its version, and the finders then say so and look elsewhere: for a
    // download, or a build of minutes. The search ends here instead. Not at a line of progress, which a timer may say.
    if (signal?.aborted && !line.includes(' ...')) throw signal.reason;
    options.report?.(line, kind);
  };
  directLoopback();
  await checkTemporary();
  await using undo = new AsyncDisposableStack();

  const timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    signal?.throwIfAborted();
    report(step);
    const start = performance.now();
    const result = await work();
    options.onStep?.(step, (performance.now() - start) / 1_000);
    return result;
  };

  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const folder = await takeFolder(options.name ?? `stack-${process.pid}`);
  reaper.watchFolder(folder);
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const logs = options.logFolder ?? folder;
  const logFile = (name: string): string => join(logs, `${name}-${process.pid}.log`);
  const testing = options.logFolder !== undefined;

  const product = productOf();
  const name = PRODUCT_NAME[product];
  const { vault: vaultPart } = await timed(`finding ${name}, Terraform and its providers`, () =>
    abortable(signal, () => findParts(report)),
  );

  const action = await readFile(join(CHECKOUT, 'terraform/modules/auth0/action.js'), 'utf8');
  const { account, m2mSecret, operatorsSecret } = auth0Account(action);
  noteSecret('auth0 client_secret', m2mSecret);
  noteSecret('oidc client_secret', operatorsSecret);
  const vaultAudit = join(folder, 'audit.log');
  const plugins = options.plugins === true ? join(folder, 'plugins') : undefined;
  if (plugins !== undefined) await mkdir(plugins, { mode: 0o755 });
  const [vault, auth0] = await timed(`starting ${name} ${vaultPart.version} and the stand-in for Auth0`, async () =>
    both(
      startDevVault({
        binary: vaultPart.path,
        folder,
        logFile: logFile('vault'),
        logLevel: testing ? 'trace' : 'info',
        reaper,
        configuration: [
          ...(plugins === undefined ? [] : [`plugin_directory = ${JSON.stringify(plugins)}`]),
          ...(product === 'openbao' ? [auditDevice(vaultAudit)] : []),
        ],
        ...(signal ? { signal } : {}),
      }).then((started) => {
        undo.defer(() => started.stop());
        return started;
      }),
      startAuth0({ account }).then((started) => {
        undo.defer(() => started.stop());
        return started;
      }),
    ),
  );
  noteSecret('vault root token', vault.rootToken);
  noteSecret('vault unseal key', vault.unsealKey);
  const client = new VaultClient({ address: vault.address, timeoutMs: 5_000 });
  undo.defer(() => client.close());
  const root = { token: vault.rootToken };

  const vaultToken = await terraformToken(vault);
  const { outputs } = await timed(`terraform apply for ${Object.keys(TENANTS).join(' and ')}`, () =>
    abortable(
      signal,
      () =>
        applyTerraform({
          vaultAddress: vault.address,
          vaultToken,
          stateDirectory: join(folder, 'terraform'),
          report,
          reaper,
          ...(signal ? { signal } : {}),
          variables: {
            apis: APIS,
            tenants: TENANTS_WITH_PEOPLE,
            audit: product === 'openbao' ? null : { options: { file_path: vaultAudit } },
            admin_api: { issuer: auth0.issuer, audience: ADMIN_AUDIENCE },
            self_service: { issuer: auth0.issuer, audience: SELF_AUDIENCE },
            oidc: { discovery_url: auth0.issuer, client_id: OPERATORS_CLIENT, redirect_uris: [OIDC_CALLBACK] },
          },
        }),
      5_000,
    ),
  );
  const roleIds = Object.fromEntries(
    Object.entries(outputs['tenants'] as Record<string, { role_id: string }>).map(([tenant, { role_id }]) => [tenant, role_id]),
  ) as Record<TenantName, string>;

  const stream = await logStreamSettings(folder);
  const broker = await timed('storing the two Auth0 secrets in Vault, starting the broker', async () => {
    await client.write('postern/data/upstream/auth0', { data: { client_id: M2M_CLIENT, client_secret: m2mSecret } }, root);
    // Written past Terraform, which would keep the client secret in its state.
    await client.write(
      'auth/oidc/config',
      { oidc_discovery_url: auth0.issuer, oidc_client_id: OPERATORS_CLIENT, oidc_client_secret: operatorsSecret, default_role: 'auditor' },
      root,
    );
    const wrapped = await client.write('auth/approle-broker/role/broker/secret-id', {}, { ...root, wrapTtl: 120 });
    const wrappedSecretIdFile = join(folder, 'broker-wrapped-secret-id');
    await writeFile(wrappedSecretIdFile, noteSecret('wrapping token', String(wrapped.wrap_info?.['token'])), { mode: 0o600 });
    const started = await startBrokerProcess({
      vaultAddress: vault.address,
      roleId: outputs['broker_role_id'] as string,
      wrappedSecretIdFile,
      auth0Issuer: auth0.issuer,
      binding: 'action',
      logFile: logFile('broker'),
      logLevel: testing ? 'trace' : 'info',
      reaper,
      ...(options.ports?.broker === undefined ? {} : { port: options.ports.broker }),
      adminPort: options.ports?.admin,
      env: {
        ...stream.env,
        ...options.env,
        ...(options.ports?.admin === undefined
          ? {}
          : { POSTERN_ADMIN_AUDIENCE: ADMIN_AUDIENCE, POSTERN_CONSOLE_CLIENT_ID: CONSOLE_CLIENT }),
      },
      ...(signal ? { signal } : {}),
    });
    undo.defer(() => started.child.stop(10_000));
    await rm(wrappedSecretIdFile); // It is opened by now and can't be opened again.
    // Only now is it certain where the console is: somebody else may have taken the port that was free.
    if (started.admin !== undefined) account.clients.push(consoleOf(started.admin));
    return started;
  });

  const service = await startService(
    Object.entries(APIS).map(([name, { audience, source, scopes }]) => ({
      name,
      issuer: source === 'auth0' ? auth0.issuer : broker.issuer,
      audience,
      scope: scopes[0],
    })),
    options.ports?.service,
  );
  undo.defer(() => service.stop());
  const management = setUpOrganization(auth0, broker.issuer, stream);
  let saas = addSaas(auth0, 'http://127.0.0.1');
  const page =
    options.ports?.selfService === undefined
      ? undefined
      : await startSelfService({
          port: options.ports.selfService,
          application: (address) => (saas = addSaas(auth0, address)),
          auth0Issuer: auth0.issuer,
          organization: ORGANIZATIONS.acme,
          brokerIssuer: broker.issuer,
          audience: SELF_AUDIENCE,
          logFile: logFile('self-service'),
          reaper,
          signal,
        });
  undo.defer(() => page?.child.stop());
  signal?.throwIfAborted();

  const owned = undo.move();
  const stop = (): Promise<void> => owned.disposeAsync();
  return {
    vault,
    client,
    auth0,
    broker,
    service,
    admin: broker.admin,
    selfService: page?.address,
    roleIds,
    files: { folder, brokerLog: logFile('broker'), vaultAudit, plugins },
    m2m: { clientId: M2M_CLIENT, clientSecret: m2mSecret },
    saas,
    management,
    programs: { vault: vaultPart.path },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Both results; if one fails, only after the other has ended too, so that nothing starts behind our back. */
async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return Promise.all([a, b]);
}
