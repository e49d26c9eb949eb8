import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault } from '#test/fixture/vault.ts';
import { type Body, document, type Policy } from './policy.rows.ts';

export interface Answer {
  status: number;
  body: string;
}

/** A real Vault with `terraform/` applied for three tenants, and a token of each kind. */
export interface PolicyFixture {
  address: string;
  rootToken: string;
  tokens: Record<Policy, string>;
  /** One request whose path reaches Vault as it is written: `fetch` would resolve `..` and encode the rest. */
  call(token: string, method: string, path: string, body?: Body): Promise<Answer>;
  /** The same as root; throws unless it went well. */
  root(method: string, path: string, body?: Body): Promise<Record<string, any>>;
  /** Logs in by AppRole with a secret_id made for it. Returns the Vault token. */
  logIn(mount: string, role: string): Promise<string>;
  /** A token with one policy alone, as people have. */
  tokenWith(policy: string): Promise<string>;
  stop(): Promise<void>;
}

export async function startPolicyFixture(): Promise<PolicyFixture> {
  const vault = await startVault();
  const stateDirectory = await mkdtemp(join(tmpdir(), 'postern-policy-'));
  const accessor = await mountWorkloads(vault.address, vault.rootToken);
  const orders = { api: 'orders', scopes: ['read:orders'] };
  await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory,
    variables: {
      apis: { orders: { audience: 'https://orders.example.com', source: 'transit', scopes: ['read:orders'] } },
      tenants: {
        acme: { grants: [orders], workloads: { ci: { accessor, alias: 'acme-ci' } } },
        'acme-2': { grants: [orders] },
        globex: { grants: [orders] },
      },
      oidc: {},
      break_glass: {},
    },
  });

  const call: PolicyFixture['call'] = (token, method, path, body) => {
    const { hostname, port } = new URL(vault.address);
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const options = { hostname, port, method, path: `/v1/${path}`, headers: { 'X-Vault-Token': token, 'Content-Type': type } };
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text })).on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body ? JSON.stringify(body) : undefined);
    });
  };
  const root: PolicyFixture['root'] = async (method, path, body) => {
    const answer = await call(vault.rootToken, method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status}`);
    return answer.body ? JSON.parse(answer.body) : {};
  };
  const logIn: PolicyFixture['logIn'] = async (mount, role) => {
    const { data: id } = await root('GET', `auth/${mount}/role/${role}/role-id`);
    const { data: secret } = await root('POST', `auth/${mount}/role/${role}/secret-id`);
    registerSecret('secret_id', secret.secret_id);
    const { auth } = await root('POST', `auth/${mount}/login`, { role_id: id.role_id, secret_id: secret.secret_id });
    registerSecret('Vault token', auth.client_token);
    return auth.client_token;
  };
  const tokenWith: PolicyFixture['tokenWith'] = async (policy) => {
    const { auth } = await root('POST', 'auth/token/create', { policies: [policy], no_default_policy: true, ttl: '1h' });
    registerSecret('Vault token', auth.client_token);
    return auth.client_token;
  };

  // A trusted issuer's mount, as Terraform makes one; its keys are nobody's.
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await root('POST', 'sys/auth/postern-trust/acme/3f2a', { type: 'jwt' });
  await root('POST', 'auth/postern-trust/acme/3f2a/config', {
    jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' })],
  });
  for (const name of ['ci', 'gone'])
    await root('POST', `auth/postern-trust/acme/3f2a/role/${name}`, { role_type: 'jwt', user_claim: 'iss', bound_audiences: ['x'] });

  // A person of acme's organization, by the same userpass mount in place of the JWT mount: the entity is as Terraform makes one.
  const { data: person } = await root('POST', 'identity/entity', {
    name: 'postern-self.acme',
    metadata: { postern_self_tenant: 'acme' },
  });
  await root('POST', 'identity/entity-alias', { name: 'acme-person', mount_accessor: accessor, canonical_id: person.id });
  await root('POST', 'auth/workloads/users/acme-person', {
    password: WORKLOAD_PASSWORD,
    token_type: 'batch',
    token_no_default_policy: true,
    token_policies: ['postern-self'],
  });

  // In place of the secrets plugin: the policies name paths, whatever answers there.
  await root('POST', 'sys/mounts/auth0', { type: 'kv' });
  for (const tenant of ['acme', 'acme-2', 'globex']) {
    await root('POST', `auth0/creds/${tenant}`, { value: 'x' });
    for (const key of ['orders', 'orders/3f2a']) {
      await root('POST', `postern-tokens/data/${tenant}/${key}`, document);
      await root('POST', `auth0/tokens/${tenant}/${key}`, { value: 'x' });
    }
  }
  // In place of Kubernetes auth, which this Vault may lack, and of JWT auth: a path is a path.
  for (const mount of ['kubernetes-broker', 'jwt-broker']) {
    await root('POST', `sys/auth/${mount}`, { type: 'approle' });
    await root('POST', `auth/${mount}/role/broker`, { token_policies: ['postern-broker'] });
  }
  for (const path of ['config', 'config/rotate', 'info', 'metrics', 'apis/orders', 'roles/acme', 'revoke/acme'])
    await root('POST', `auth0/${path}`, { value: 'x' });
  for (const path of [
    'postern/data/assertions/acme-id',
    'postern/data/assertions/gone-id',
    'postern/data/trusts/acme-id/ci',
    'postern/data/trusts/acme-id/gone',
    'postern/data/trust-index/3f2a/acme-id.ci',
    'postern/data/trust-index/3f2a/acme-id.gone',
    'postern/data/state/epoch',
    'postern/data/state/catalog',
    'postern/data/state/ended',
    'postern/data/state/ended/0',
    'postern/data/state/tombstones/gone',
    'postern/data/keys/acme',
    'postern/data/publications/acme',
    'postern/data/state/usage/0a',
    'postern/data/state/quota/2026-11/0a',
    'postern/data/upstream/auth0',
    'secret/data/other',
  ])
    await root('POST', path, document);

  return {
    address: vault.address,
    rootToken: vault.rootToken,
    tokens: {
      tenant: await logIn('approle', 'acme'),
      workload: await logInWorkload(vault.address, 'acme-ci'),
      self: await logInWorkload(vault.address, 'acme-person'),
      broker: await logIn('approle-broker', 'broker'),
      operator: await tokenWith('postern-operator'),
      auditor: await tokenWith('postern-auditor'),
    },
    call,
    root,
    logIn,
    tokenWith,
    async stop() {
      await vault.stop();
      await rm(stateDirectory, { recursive: true, force: true });
    },
  };
}

/** A userpass mount stands for the auth method that a workload has anyway. @returns its accessor */
async function mountWorkloads(address: string, rootToken: string): Promise<string> {
  const root = async (method: string, path: string, body?: Body): Promise<Record<string, any>> => {
    const answer = await fetch(`${address}/v1/${path}`, {
      method,
      headers: { 'X-Vault-Token': rootToken },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? {} : ((await answer.json()) as Record<string, any>);
  };
  await root('POST', 'sys/auth/workloads', { type: 'userpass' });
  await root('POST', 'auth/workloads/users/acme-ci', { password: WORKLOAD_PASSWORD, token_type: 'batch', token_no_default_policy: true });
  const { data } = await root('GET', 'sys/auth');
  return data['workloads/'].accessor;
}

const WORKLOAD_PASSWORD = crypto.randomUUID();

async function logInWorkload(address: string, user: string): Promise<string> {
  registerSecret('userpass password', WORKLOAD_PASSWORD);
  const answer = await fetch(`${address}/v1/auth/workloads/login/${user}`, {
    method: 'POST',
    body: JSON.stringify({ password: WORKLOAD_PASSWORD }),
  });
  const { auth } = (await answer.json()) as { auth: { client_token: string } };
  registerSecret('Vault token', auth.client_token);
  return auth.client_token;
}
