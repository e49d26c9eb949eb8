import 'reflect-metadata';
import { X509CertificateGenerator } from '@peculiar/x509';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { measured, startStage } from './broker-identity.stage.ts';
import type { IdentityStage } from './broker-identity.stage.ts';

// The Vault that is built from its Go module has no Kubernetes auth; OpenBao's wheel and Vault's official release do.
process.env['POSTERN_VAULT_PRODUCT'] = 'openbao';

let stage: IdentityStage;
let kubernetes: Server;
/** Tokens that the Kubernetes API knows -> service account. */
const accounts = new Map<string, { name: string; namespace: string; uid: string }>();

/** The one call of Kubernetes that Vault makes: TokenReview (authentication.k8s.io/v1), by the token that logs in itself. */
function startKubernetes(): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const answer = (status: number, body: object) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      if (request.method !== 'POST' || request.url !== '/apis/authentication.k8s.io/v1/tokenreviews')
        return answer(404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 });
      if (!accounts.has((request.headers.authorization ?? '').replace('Bearer ', '')))
        return answer(401, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Unauthorized', code: 401 });
      const { spec } = JSON.parse(Buffer.concat(chunks).toString()) as { spec: { token: string; audiences?: string[] } };
      const account = accounts.get(spec.token);
      const user = account && {
        username: `system:serviceaccount:${account.namespace}:${account.name}`,
        uid: account.uid,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`, 'system:authenticated'],
      };
      const status = user ? { authenticated: true, user, audiences: spec.audiences ?? ['vault'] } : { authenticated: false };
      return answer(201, { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', spec, status });
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Vault wants one, also where it speaks plain http. */
async function certificate(): Promise<string> {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const made = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=kubernetes',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return made.toString('pem');
}

/** A token as a kubelet projects it. */
async function serviceAccountToken(name = 'postern', namespace = 'tokens'): Promise<string> {
  const account = { name, namespace, uid: `uid-of-${namespace}-${name}` };
  const token = await stage.jwt({
    iss: 'https://kubernetes.default.svc.cluster.local',
    sub: `system:serviceaccount:${namespace}:${name}`,
    aud: ['vault'],
    'kubernetes.io': { namespace, serviceaccount: { name, uid: account.uid } },
  });
  accounts.set(token, account);
  return token;
}

beforeAll(async () => {
  kubernetes = await startKubernetes();
  stage = await startStage({
    broker_kubernetes: {
      namespaces: ['tokens'],
      audience: 'vault',
      host: `http://127.0.0.1:${(kubernetes.address() as AddressInfo).port}`,
      vault_in_cluster: false,
      ca_pem: await certificate(),
    },
  });
}, 180_000);
afterAll(async () => {
  await stage?.stop();
  kubernetes?.closeAllConnections();
  kubernetes?.close();
});

test('Terraform has nothing to do after it has set up the Kubernetes login', () => {
  expect(stage.planned.text.slice(-1500)).toContain('No changes');
});

test(
  'is back by itself after a restart of Vault, a revoked token, a replaced credential and its own restart',
  { timeout: 240_000 },
  async () => {
    const env = { POSTERN_VAULT_AUTH: 'kubernetes', POSTERN_BROKER_JWT_FILE: await stage.put('token', await serviceAccountToken()) };
    const running = await stage.start({ ...env, POSTERN_VAULT_AUTH_GRACE: '0' });
    measured('kubernetes', 'start', await stage.backIn(running));
    await stage.vault.restart();
    measured('kubernetes', 'Vault restarted', await stage.backIn(running));
    expect(await stage.revokeBrokers()).toBeGreaterThan(0);
    measured('kubernetes', 'token revoked', await stage.backIn(running));

    accounts.clear();
    await stage.revokeBrokers();
    await expect.poll(() => running.warnings().filter(({ event }) => event === 'failed'), { timeout: 20_000 }).not.toEqual([]);
    await stage.put('token', await serviceAccountToken());
    measured('kubernetes', 'credential replaced', await stage.backIn(running));

    await running.close();
    const again = await stage.start(env);
    measured('kubernetes', 'own restart', await stage.backIn(again));
    await again.close();
  },
);

test.each([
  ['another service account', 'other', 'tokens'],
  ['the same name in another namespace', 'postern', 'default'],
])('%s is refused, with the remedy', async (_, name, namespace) => {
  const running = await stage.start({
    POSTERN_VAULT_AUTH: 'kubernetes',
    POSTERN_BROKER_JWT_FILE: await stage.put('other', await serviceAccountToken(name, namespace)),
  });
  await expect
    .poll(() => running.warnings().find(({ event }) => event === 'failed'), { timeout: 20_000 })
    .toMatchObject({
      kind: 'refused',
      remedy: expect.stringContaining('its service account, namespace and audience must be those that the role is bound to'),
    });
  await running.close();
});
