import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeJwt } from 'jose';
import { Agent, request } from 'undici';
import { ApiKey } from '#broker/credential/api-key.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { Credential, LocalReplica } from '#test/fixture/broker.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { assertionOf } from './assertion.forgeries.ts';
import type { ClientSigner } from './assertion.forgeries.ts';

const SIZE = 100;
/** Tenants that also have a key pair: each is an auth mount of its own at Vault. */
const WITH_KEYS = 5;
const ISSUER = 'https://tokens.example.com/';
const TENANT_CLAIM = 'https://postern.dev/tenant';

export interface DoorsOptions {
  requests: number;
  /** Default 48. */
  atOnce?: number;
  seed?: number;
  report?: (line: string) => void;
}

export interface DoorsOutcome {
  requests: number;
  /** Tokens and answers about tokens that were given. */
  granted: number;
  refused: number;
  /** By door. */
  doors: Record<string, number>;
  /** What should not be: an answer for another tenant or API, or one where there should be no answer, or the reverse. */
  wrong: string[];
}

interface Tenant {
  name: string;
  credential: Credential;
  key: string;
  vaultToken: string;
  signer: ClientSigner | undefined;
}

/** A third of the matrix; half of the APIs of each source. */
const granted = (tenant: number, api: number): boolean => (tenant * 7 + api * 3) % 10 < 3;
const nameOf = (kind: 't' | 'api', index: number): string => `${kind}-${String(index).padStart(2, '0')}`;
const audienceOf = (api: number): string => `https://${nameOf('api', api)}.example.com`;

/**
 * 100 tenants, 100 APIs, two replicas, and every door at random, many at once: each answer must be for the tenant that asked
 * and the API that was asked for, and only for pairs that are granted.
 */
export async function tryDoors({ requests, atOnce = 48, seed = 20_261_124, report = () => {} }: DoorsOptions): Promise<DoorsOutcome> {
  report(`doors: ${SIZE} tenants and ${SIZE} APIs`);
  const pairs = Array.from({ length: WITH_KEYS }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  const pem = (pair: { publicKey: KeyObject }): string => pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  await using house = await startHouse({
    variables: { issuer: ISSUER },
    apis: Object.fromEntries(
      Array.from({ length: SIZE }, (_, api) => [
        nameOf('api', api),
        { audience: audienceOf(api), source: api % 2 === 0 ? ('transit' as const) : ('auth0' as const), scopes: ['read', 'write'] },
      ]),
    ),
    tenants: Object.fromEntries(
      Array.from({ length: SIZE }, (_, tenant) => [
        nameOf('t', tenant),
        {
          grants: Array.from({ length: SIZE }, (_, api) => api)
            .filter((api) => granted(tenant, api))
            .map((api) => ({ api: nameOf('api', api), scopes: ['read', 'write'] })),
          // A batch token of the workload's own outlives the run.
          token_ttl: 3_600,
          ...(tenant < WITH_KEYS ? { assertion_keys: [{ pem: pem(pairs[tenant]!), kid: 'one' }] } : {}),
        },
      ]),
    ),
  });
  const many = '1000000';
  const env = { POSTERN_ISSUER: ISSUER, POSTERN_THROTTLE_ADDRESS: many, POSTERN_THROTTLE_CLIENT: many };
  const replicas = await Promise.all([house.startReplica({ env }), house.startReplica({ env })]);
  const tenants: Tenant[] = await Promise.all(
    Array.from({ length: SIZE }, async (_, index) => {
      const name = nameOf('t', index);
      const credential = await house.issueSecret(name);
      const login = await house.root.write('auth/approle/login', { role_id: credential.client_id, secret_id: credential.client_secret });
      const vaultToken = String(login.auth?.['client_token']);
      const key = ApiKey.format('test', credential.client_id, credential.client_secret);
      registerSecret('Vault token', vaultToken);
      registerSecret('API key', key);
      const pair = pairs[index];
      return { name, credential, key, vaultToken, signer: pair && { clientId: credential.client_id, ...pair, kid: 'one' } };
    }),
  );

  report(`doors: ${requests} requests, ${atOnce} at once`);
  const agent = new Agent({ connections: atOnce });
  const random = seeded(seed);
  const pick = (below: number): number => Math.floor(random() * below);
  const outcome: DoorsOutcome = { requests, granted: 0, refused: 0, doors: {}, wrong: [] };
  /** Some tokens handed out, for introspection by their owner and by others. */
  const handedOut: { token: string; tenant: number; api: number }[] = [];
  const seen = new Set<string>();

  const send = async (replica: LocalReplica, method: 'GET' | 'POST', path: string, headers: Record<string, string>, body?: string) => {
    const answer = await request(`${replica.issuer}${path}`, {
      method,
      headers,
      dispatcher: agent,
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, text };
  };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const basic = ({ credential }: Tenant) => ({
    authorization: `Basic ${Buffer.from(`${credential.client_id}:${credential.client_secret}`).toString('base64')}`,
  });
  const encoded = (parameters: Record<string, string>): string => new URLSearchParams(parameters).toString();
  type Door = (tenant: Tenant, audience: string, replica: LocalReplica) => Promise<{ status: number; token: string | undefined }>;
  const posted = async (replica: LocalReplica, parameters: Record<string, string>, headers: Record<string, string> = {}) => {
    const { status, text } = await send(replica, 'POST', 'oauth/token', { ...form, ...headers }, encoded(parameters));
    return { status, token: status === 200 ? (JSON.parse(text) as { access_token: string }).access_token : undefined };
  };
  const verified = async (replica: LocalReplica, audience: string, headers: Record<string, string>) => {
    const { status, headers: given } = await send(replica, 'GET', `verify?audience=${encodeURIComponent(audience)}`, headers);
    return { status, token: status === 200 ? String(given['authorization']).replace('Bearer ', '') : undefined };
  };
  const CLIENT = { grant_type: 'client_credentials' };
  const doors: Record<string, Door> = {
    post: ({ credential: { client_id, client_secret } }, audience, replica) =>
      posted(replica, { ...CLIENT, client_id, client_secret, audience }),
    basic: (tenant, audience, replica) => posted(replica, { ...CLIENT, audience }, basic(tenant)),
    narrow: (tenant, audience, replica) => posted(replica, { ...CLIENT, audience, scope: 'read' }, basic(tenant)),
    json: async ({ credential: { client_id, client_secret } }, audience, replica) => {
      const { status, text } = await send(
        replica,
        'POST',
        'oauth/token',
        { 'content-type': 'application/json' },
        JSON.stringify({ ...CLIENT, client_id, client_secret, audience }),
      );
      return { status, token: status === 200 ? (JSON.parse(text) as { access_token: string }).access_token : undefined };
    },
    exchange: ({ vaultToken }, audience, replica) =>
      posted(replica, {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: vaultToken,
        subject_token_type: 'urn:postern:params:oauth:token-type:vault-token',
        audience,
      }),
    'key in X-API-Key': ({ key }, audience, replica) => verified(replica, audience, { 'x-api-key': key }),
    'key as Bearer': ({ key }, audience, replica) => verified(replica, audience, { authorization: `Bearer ${key}` }),
    assertion: (tenant, audience, replica) => {
      const signer = tenant.signer ?? tenants[0]!.signer!;
      return posted(replica, {
        ...CLIENT,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertionOf(signer, ISSUER),
        audience,
      });
    },
  };
  const names = Object.keys(doors);

  const tryOne = async (): Promise<void> => {
    const replica = replicas[pick(2)]!;
    const name = names[pick(names.length)]!;
    const index = name === 'assertion' ? pick(WITH_KEYS) : pick(SIZE);
    const api = pick(SIZE);
    const tenant = tenants[index]!;
    const may = granted(index, api);
    if (handedOut.length > 0 && random() < 0.1) return introspect(replica, index);
    outcome.doors[name] = (outcome.doors[name] ?? 0) + 1;
    const { status, token } = await doors[name]!(tenant, audienceOf(api), replica);
    const told = `${name}: ${tenant.name} at ${nameOf('api', api)} -> ${status}`;
    if (token === undefined) {
      outcome.refused++;
      if (may || status >= 500) outcome.wrong.push(`${told}, refused though granted or with a 5xx`);
      return;
    }
    outcome.granted++;
    if (!seen.has(token)) {
      seen.add(token);
      registerSecret('access token', token);
      if (handedOut.length < 500) handedOut.push({ token, tenant: index, api });
    }
    const claims = decodeJwt(token);
    const right =
      may &&
      claims[TENANT_CLAIM] === tenant.name &&
      claims.aud === audienceOf(api) &&
      claims['scope'] === (name === 'narrow' ? 'read' : 'read write');
    // Auth0's tokens are all of the one shared application; the tenant claim tells them apart.
    const subject = api % 2 === 1 || claims.sub === `${tenant.credential.client_id}@clients`;
    if (!right || !subject) outcome.wrong.push(`${told}, for ${String(claims[TENANT_CLAIM])} at ${String(claims.aud)}`);
  };

  const introspect = async (replica: LocalReplica, index: number): Promise<void> => {
    const { token, tenant, api } = handedOut[pick(handedOut.length)]!;
    const asker = random() < 0.5 ? tenant : index;
    outcome.doors['introspection'] = (outcome.doors['introspection'] ?? 0) + 1;
    const { status, text } = await send(replica, 'POST', 'oauth/introspect', { ...form, ...basic(tenants[asker]!) }, encoded({ token }));
    const { active, aud } = JSON.parse(text) as { active?: boolean; aud?: string };
    if (status !== 200 || active !== (asker === tenant) || (active && aud !== audienceOf(api)))
      outcome.wrong.push(`introspection: ${nameOf('t', asker)} about a token of ${nameOf('t', tenant)} -> ${status} ${text.slice(0, 100)}`);
    if (active) outcome.granted++;
    else outcome.refused++;
  };

  let begun = 0;
  try {
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (begun < requests) {
          begun++;
          await tryOne();
        }
      }),
    );
  } finally {
    await agent.close();
    await Promise.all(replicas.map((replica) => replica.stop()));
  }
  return outcome;
}
