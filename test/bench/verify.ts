import { request } from 'undici';
import { ApiKey } from '#broker/credential/api-key.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { startGateway } from '#test/fixture/gateway.ts';
import type { Gateway } from '#test/fixture/gateway.ts';
import { startServer } from './child.ts';
import { LOAD_CORE, SERVER_CORE, pin } from './cores.ts';
import { compared, pair } from './line.ts';
import type { Comparison, Line } from './line.ts';
import { get } from './wrk.ts';

export interface VerifyOptions {
  rounds: number;
  /** Of each run. */
  seconds: number;
  report: (line: string) => void;
  signal: AbortSignal;
}

/** What examples/gateway/ demands. */
const DEMAND = `audience=${encodeURIComponent(APIS.orders.audience)}&scope=read%3Aorders`;

/**
 * `/verify` beside a bare handler that reads the same headers, and nginx that asks `/verify` beside the same nginx that does not,
 * before the same service: once one that verifies tokens as real ones do, once one that does nothing. Turn by turn; broker, nginx
 * and service together on the servers' core.
 */
export async function measureVerify(stack: Stack, { rounds, seconds, report, signal }: VerifyOptions): Promise<Line[]> {
  await using undo = new AsyncDisposableStack();
  await Promise.all([pin(stack.broker.child.pid, SERVER_CORE), pin(stack.vault.pid, SERVER_CORE), pin(process.pid, LOAD_CORE)]);
  const broker = new URL(stack.broker.issuer).host;
  const { token, headers } = await answerOf(stack, await issueKey(stack));
  const bare = await startServer('./verify-bare.ts', { BARE_HEADERS: JSON.stringify(headers) });
  undo.defer(() => bare.stop());
  const idle = await startServer('./verify-bare.ts', {
    BARE_HEADERS: JSON.stringify(['Content-Type', 'text/plain', 'Content-Length', '0']),
  });
  undo.defer(() => idle.stop());
  const verifying = await startServer('./service.ts', {
    SERVICE_ROUTES: JSON.stringify([{ name: 'orders', issuer: stack.auth0.issuer, audience: APIS.orders.audience, scope: 'read:orders' }]),
  });
  undo.defer(() => verifying.stop());
  const gateway = async (service: number, change?: (text: string) => string): Promise<Gateway> => {
    const started = undo.use(
      await startGateway('nginx', { postern: broker, service: `127.0.0.1:${service}`, ...(change ? { change } : {}) }),
    );
    await Promise.all((await started.pids()).map((pid) => pin(pid, SERVER_CORE)));
    return started;
  };
  const asking = { verifying: await gateway(verifying.port), idle: await gateway(idle.port) };
  const plain = { verifying: await gateway(verifying.port, withoutPostern), idle: await gateway(idle.port, withoutPostern) };

  await giveOrganization(stack);
  const results: Record<'verify' | 'person' | 'verifying' | 'idle', Comparison> = {
    person: { what: "/verify hit with a person's key over one with a plain key", goal: 0.97, sign: '', ours: [], other: [] },
    verify: { what: '/verify hit over a bare node:http 200 that reads the same headers', goal: 0.9, sign: '', ours: [], other: [] },
    verifying: {
      what: 'nginx + /verify over nginx alone, to a service that verifies the token',
      goal: 0.35,
      sign: '',
      ours: [],
      other: [],
    },
    idle: { what: 'nginx + /verify over nginx alone, to a service that does nothing', goal: 0.35, sign: '', ours: [], other: [] },
  };
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? '/verify and nginx: warming up' : `/verify and nginx: round ${round} of ${rounds}`);
    // A key of its own for each round: its verification is remembered for 30 s, longer than a round lasts.
    const key = { 'X-API-Key': await issueKey(stack) };
    const persons = { 'X-API-Key': await issueKey(stack, personMetadata(round)) };
    const bearer = { Authorization: `Bearer ${token}` };
    const url = `${stack.broker.issuer}verify?${DEMAND}`;
    await get(url, key, 1);
    await get(url, persons, 1);
    const pid = [stack.broker.child.pid];
    await pair(
      results.person,
      round,
      () => get(url, persons, seconds, pid),
      () => get(url, key, seconds, pid),
    );
    await pair(
      results.verify,
      round,
      () => get(url, key, seconds, pid),
      () => get(`http://127.0.0.1:${bare.port}/verify?${DEMAND}`, key, seconds, [bare.pid]),
    );
    for (const service of ['verifying', 'idle'] as const) {
      await pair(
        results[service],
        round,
        () => get(`http://127.0.0.1:${asking[service].port}/orders`, key, seconds),
        () => get(`http://127.0.0.1:${plain[service].port}/orders`, bearer, seconds),
      );
    }
  }
  return Object.values(results).map(compared);
}

const ORGANIZATION = 'org_bench1';

/** What `POST /self/v1/keys` notes with a key. */
function personMetadata(round: number): Record<string, string> {
  return {
    key_id: `key_${String(round).padStart(24, '0')}`,
    environment: 'bench',
    scopes: 'read:orders',
    owner: 'auth0|bench',
    organization: ORGANIZATION,
    issued_at: new Date().toISOString(),
  };
}

/** People belong to one, so that the tenant needs one. */
async function giveOrganization({ client, vault }: Stack): Promise<void> {
  const as = { token: vault.rootToken };
  const before = (await client.read('postern/data/tenants/acme', as))?.data?.['data'] as object;
  await client.write('postern/data/tenants/acme', { data: { ...before, organization: ORGANIZATION } }, as);
}

async function issueKey(stack: Stack, metadata?: Record<string, string>): Promise<string> {
  const body = metadata === undefined ? {} : { metadata: JSON.stringify(metadata) };
  const { data } = await stack.client.write('auth/approle/role/acme/secret-id', body, { token: stack.vault.rootToken });
  return noteSecret('API key', ApiKey.format('bench', stack.roleIds.acme, noteSecret('secret_id', String(data?.['secret_id']))));
}

/** What the broker answers, so that the bare handler writes the same bytes. */
async function answerOf(stack: Stack, key: string): Promise<{ token: string; headers: string[] }> {
  const { statusCode, headers, body } = await request(`${stack.broker.issuer}verify?${DEMAND}`, { headers: { 'x-api-key': key } });
  await body.dump();
  if (statusCode !== 200) throw new Error(`/verify answered ${statusCode}`);
  const sent = ['authorization', 'x-postern-tenant', 'x-postern-scope', 'cache-control', 'content-length'].flatMap((name) => [
    name,
    String(headers[name]),
  ]);
  return { token: noteSecret('access token', String(headers['authorization']).replace('Bearer ', '')), headers: sent };
}

/** The same nginx that asks nobody: its client brings the token itself, as before Postern. */
function withoutPostern(text: string): string {
  return text
    .replace(/^ *auth_request \/_postern;$/m, '')
    .replace(
      /auth_request_set (\$\w+) \$\w+;/g,
      (_line, name: string) => `set ${name} ${name === '$postern_authorization' ? '$http_authorization' : '""'};`,
    );
}
