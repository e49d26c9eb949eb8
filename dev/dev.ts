import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { Customer } from './customer.ts';
import { watchInterrupt } from '#cli/interrupt.ts';
import type { Interrupt } from '#cli/interrupt.ts';
import { Operator } from './operator.ts';
import { freePort } from './port.ts';
import { APIS, TENANTS } from './scenario.ts';
import { writeHandout } from './handout.ts';
import { startStack } from './stack.ts';
import { endAtOnce } from '#tools/process/reaper.ts';
import { STOPPING, Story, duration, paperOf, reporting } from './story.ts';
import type { TenantName } from './scenario.ts';
import type { Stack } from './stack.ts';

/** Ports that people remember; others where these are taken. */
const BROKER_PORT = 8080;
const ADMIN_PORT = 8081;
const SERVICE_PORT = 3000;
const SELF_SERVICE_PORT = 3001;
const GATEWAY_PORT = 8000;

export interface DevOptions {
  /** One JSON object with all addresses instead of the text. */
  json?: boolean;
  /** Ends it. Default: SIGINT, SIGTERM and SIGHUP do. */
  signal?: AbortSignal;
}

/**
 * `postern dev`: the embedded default with two customers, until Ctrl-C.
 * @returns the process's exit code: 0 after Ctrl-C or SIGTERM while it was up, 130 or so during the start, 1 when a part ended by itself
 * @throws PosternError `conflict` when it is running already, `misconfigured` when a part can't be found
 */
export async function runDev(options: DevOptions = {}): Promise<number> {
  const paper = paperOf(options.json ? process.stderr : process.stdout);
  using interrupt = options.signal ? undefined : watchInterrupt({ told: () => paper.remark(STOPPING), again: endAtOnce });
  const signal = options.signal ?? (interrupt as Interrupt).signal;
  const story = new Story(paper);
  try {
    story.chapter('Starting');
    await using stack = await startStack({
      name: 'dev',
      report: reporting(paper),
      onStep: (step, seconds) => story.told(step, '', seconds * 1_000),
      signal,
      logFolder: process.env['POSTERN_TEST_LOGS'],
      ports: {
        broker: await freePort(BROKER_PORT),
        admin: await freePort(ADMIN_PORT),
        service: await freePort(SERVICE_PORT),
        selfService: await freePort(SELF_SERVICE_PORT),
      },
      plugins: true,
    });
    const settled = await settle(stack);
    for (const line of elsewhere(settled)) paper.remark(line);
    process.stdout.write(options.json ? `${JSON.stringify(addresses(settled))}\n` : text(settled));
    const ended = await Promise.race([
      aborted(signal),
      stack.vault.ended.then((how) => `Vault ended by itself (${how})`),
      stack.broker.child.ended.then((how) => `the broker ended by itself (${how})`),
    ]);
    if (ended !== undefined) {
      paper.write(`\n${ended}; stopping the rest.`);
      return 1;
    }
    const start = performance.now();
    await stack.stop();
    paper.write(`\nStopped in ${duration(performance.now() - start)}; nothing is left.`);
    return 0;
  } catch (error) {
    if (interrupt !== undefined && interrupt.exitCode !== 0) return interrupt.exitCode;
    throw error;
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** The stack with what people need of it. */
interface Settled {
  stack: Stack;
  tenants: SettledTenant[];
  /** Variables of a shell. */
  envFile: string;
  /** The gateways' examples with the stack's addresses. */
  gateways: string;
  gateway: string;
}

interface SettledTenant {
  name: string;
  roleId: string;
  secretId: string;
  key: string;
  /** Form fields for curl, so that the secret is on no command line. */
  formFile: string;
  /** A header line for curl with the API key, for the same reason. */
  keyFile: string;
}

/** A secret_id and an API key for each customer, shown and kept in files (0600) that go away with the stack. */
async function settle(stack: Stack): Promise<Settled> {
  const { operator } = await Operator.login(stack);
  const settled: SettledTenant[] = [];
  for (const name of Object.keys(TENANTS) as TenantName[]) {
    const customer = new Customer({ name, roleId: stack.roleIds[name], issuer: stack.broker.issuer, vault: stack.client });
    await customer.unwrap((await operator.issueSecret(name)).wrapping_token);
    const secretId = customer.revealSecretId();
    const formFile = join(stack.files.folder, `${name}.form`);
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: customer.roleId, client_secret: secretId });
    await writeFile(formFile, form.toString(), { mode: 0o600 });
    const key = await operator.issueKey(name, { name: 'make dev', environment: 'dev' });
    const keyFile = join(stack.files.folder, `${name}.key`);
    await writeFile(keyFile, `X-API-Key: ${key}\n`, { mode: 0o600 });
    settled.push({ name, roleId: customer.roleId, secretId, key, formFile, keyFile });
  }
  await writeFile(upstreamFile(stack), stack.m2m.clientSecret, { mode: 0o600 });
  await writeFile(operatorFile(stack), `X-Vault-Token: ${operator.revealToken()}\n`, { mode: 0o600 });
  await writeFile(join(stack.files.folder, 'root-token'), stack.vault.rootToken, { mode: 0o600 });
  const gateway = `http://127.0.0.1:${await freePort(GATEWAY_PORT)}`;
  const [first] = settled as [SettledTenant];
  const handout = await writeHandout(stack.files.folder, {
    broker: stack.broker.issuer.replace(/\/$/, ''),
    admin: stack.admin ?? '',
    service: stack.service.address,
    gateway,
    vault: stack.vault.address,
    audience: APIS.orders.audience,
    roleId: first.roleId,
    secretId: first.secretId,
    key: first.key,
    operatorToken: operator.revealToken(),
  });
  return { stack, tenants: settled, gateway, ...handout };
}

/** Where somebody else has the usual ports. */
function elsewhere({ stack, gateway }: Settled): string[] {
  const usual: [name: string, port: number, address: string | undefined][] = [
    ['the broker', BROKER_PORT, stack.broker.issuer],
    ['the admin API', ADMIN_PORT, stack.admin],
    ['the sample API', SERVICE_PORT, stack.service.address],
    ["the customer's page", SELF_SERVICE_PORT, stack.selfService],
    ['a gateway', GATEWAY_PORT, gateway],
  ];
  return usual.flatMap(([name, port, address]) => {
    const real = address === undefined ? String(port) : new URL(address).port;
    return real === String(port)
      ? []
      : [`Port ${port} is taken by another program: ${name} has ${real} instead, and so do the lines below.`];
  });
}

/** The shared Auth0 application's secret, for the plugin, as `vault write` takes it. */
const upstreamFile = (stack: Stack): string => join(stack.files.folder, 'auth0-secret');

/** A header line for curl: Olivia's credential at the admin API. */
const operatorFile = (stack: Stack): string => join(stack.files.folder, 'operator');

function addresses({ stack, tenants, envFile, gateways, gateway }: Settled): object {
  return {
    broker: stack.broker.issuer,
    admin: stack.admin,
    console: `${stack.admin}/console/`,
    self_service: stack.selfService,
    service: stack.service.address,
    vault: stack.vault.address,
    auth0: stack.auth0.issuer,
    rootTokenFile: join(stack.files.folder, 'root-token'),
    operator_file: operatorFile(stack),
    env_file: envFile,
    gateway,
    gateway_files: gateways,
    plugin_directory: stack.files.plugins,
    tenants: Object.fromEntries(
      tenants.map(({ name, roleId, formFile, keyFile }) => [name, { client_id: roleId, form_file: formFile, key_file: keyFile }]),
    ),
    logs: { broker: stack.files.brokerLog, vault_audit: stack.files.vaultAudit },
    pids: { vault: stack.vault.pid, broker: stack.broker.child.pid },
  };
}

function text({ stack, tenants, envFile, gateways, gateway }: Settled): string {
  const short = (path: string): string => {
    const near = relative(process.cwd(), path);
    const shorter = near.startsWith('..') ? path : near;
    return /^[\w./-]+$/.test(shorter) ? shorter : `'${shorter.replaceAll("'", String.raw`'\''`)}'`;
  };
  const [first] = tenants;
  const exchange = (audience: string): string =>
    `curl -s ${stack.broker.issuer}oauth/token -d @${short(first?.formFile ?? '')} -d audience=${audience}`;
  return `
Postern is up. Ctrl-C stops it and removes what it made.

  broker      ${stack.broker.issuer}
  admin API   ${stack.admin}/openapi.json
  console     ${stack.admin}/console/ (in a browser, as Olivia, who may do everything; the stand-in asks for no password)
  my keys     ${stack.selfService} (in a browser, as Ursula of acme, who makes keys of her own: examples/self-service)
  sample API  ${stack.service.address}/${Object.keys(APIS).join(', /')}
  Vault       ${stack.vault.address}
  Auth0       ${stack.auth0.issuer} (stand-in)
  logs        ${short(stack.files.brokerLog)}, ${short(stack.files.vaultAudit)}

Customers, with credentials for local play only; they are shown this once
${tenants.map(({ name, roleId, secretId, key }) => `  ${name.padEnd(10)}  client_id ${roleId}  client_secret ${secretId}\n${' '.repeat(14)}API key ${key}`).join('\n')}

A token for ${first?.name}, and the API called with it
  ${exchange(APIS.orders.audience)}
  TOKEN=$(${exchange(APIS.orders.audience)} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -s ${stack.service.address}/orders -H "Authorization: Bearer $TOKEN"

Its API key, asked about as a gateway does (docs/gateway.md): the token comes back in a header
  curl -si '${stack.broker.issuer}verify?${new URLSearchParams({ audience: APIS.orders.audience, scope: APIS.orders.scopes[0] }).toString()}' -H @${short(first?.keyFile ?? '')}

The admin API (docs/admin-api.md), with an operator's Vault token, which lasts an hour
  curl -s ${stack.admin}/v1/tenants -H @${short(operatorFile(stack))}

A gateway in front of the sample API, at ${gateway}, and what its customer sends (docs/gateway.md)
  nginx -e stderr -p ${short(gateways)}/nginx/ -c nginx.conf
  curl -s ${gateway}/orders -H @${short(first?.keyFile ?? '')}

All of these addresses, and acme's credentials, as variables of a shell: for lines of the documentation and for examples/README.md
  . ${short(envFile)}

Log in to Vault as an operator, through the stand-in, which asks for no password
  . ${short(envFile)}
  ${short(stack.programs.vault)} login -method=oidc role=operator
or be root
  . ${short(envFile)}; export VAULT_TOKEN=$(cat ${short(join(stack.files.folder, 'root-token'))})
and then, for example
  node_modules/.bin/node cli/main.ts tenant list

The secrets plugin (docs/plugin.md), as root of Vault
  make plugin && node_modules/.bin/node cli/main.ts plugin install --plugin-directory ${short(stack.files.plugins ?? '')}
  ${short(stack.programs.vault)} write auth0/config issuer=${stack.auth0.issuer} client_id=${stack.m2m.clientId} client_secret=@${short(upstreamFile(stack))}
  ${short(stack.programs.vault)} write auth0/apis/orders audience=${APIS.orders.audience} scopes=${APIS.orders.scopes.join(',')}
  ${short(stack.programs.vault)} write auth0/roles/${first?.name} grants=orders=${APIS.orders.scopes[0]}
  ${short(stack.programs.vault)} read auth0/creds/${first?.name}

`;
}
