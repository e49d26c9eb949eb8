import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHouse } from '#test/fixture/broker.ts';
import type { LocalReplica } from '#test/fixture/broker.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { Cluster } from './cluster.ts';
import { customer } from './customer.ts';
import { prices } from './prices.ts';
import { defaultSettings } from './settings.ts';

type Kind = 'login' | 'tenant read' | 'token read' | 'token write' | 'sign';

export interface Comparison {
  readonly what: string;
  readonly counted: number;
  readonly seen: number;
}

export interface CompareOptions {
  readonly tenants: number;
  readonly replicas: number;
  /** Of requests, in real time. */
  readonly seconds: number;
  readonly seed: number;
}

/** Busier than in life, and of short-lived tokens: much happens in little time. */
const MIX = { caching: 0.5, polling: 0.3, pollEvery: 20, gatewayRate: 0.3 };
const LIFETIME = 120;
/** Each API key's verification reads a document more; here nobody has one. */
const API = { audience: 'https://scale.example.com', source: 'transit', scopes: ['read:all'], lifetime: LIFETIME } as const;

/** The same requests at the same times, counted, and sent to real brokers on a real Vault. */
export async function compare({ tenants, replicas, seconds, seed }: CompareOptions): Promise<readonly Comparison[]> {
  const requests: { tenant: number; replica: number; at: number }[] = [];
  const list = await prices();
  const cluster = new Cluster({
    tenants,
    sample: 1,
    replicas,
    balance: 'any',
    lifetime: LIFETIME,
    settings: defaultSettings(),
    prices: { ...list, keyVerification: list.verification },
    mix: MIX,
    random: seeded(seed),
    cold: true,
    onRequest: (tenant, replica, at) => requests.push({ tenant, replica, at }),
  });
  const counted = cluster.run(0, seconds, seconds);
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'postern-scale-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'audit.log');
  await using house = await startHouse({ apis: { scale: API }, tenants: {}, variables: { audit: { options: { file_path: file } } } });
  const customers = await Promise.all(Array.from({ length: tenants }, (_, n) => customer(house, n, API.scopes)));
  // One issuer, as behind a balancer; time enough for a Vault on a busy machine.
  const env = { POSTERN_ISSUER: 'http://127.0.0.1:9/', POSTERN_VAULT_TIMEOUT: '30', POSTERN_LOG_LEVEL: 'warn' };
  const real = await Promise.all(Array.from({ length: replicas }, () => house.startReplica({ env })));
  const before = await asked(file);
  const begun = performance.now();
  let late = 0;
  const sent: Promise<void>[] = [];
  for (const { tenant, replica, at } of requests) {
    const wait = begun + at * 1000 - performance.now();
    if (wait > 1) await sleep(wait);
    else late = Math.max(late, -wait);
    sent.push(exchange(real[replica]!, customers[tenant]!));
  }
  await Promise.all(sent);
  await sleep(1_000);
  const after = await asked(file);
  if (late > 1_000) console.error(`the machine is too busy: requests were up to ${Math.round(late)} ms late`);
  const seen = (kind: Kind): number => (after.get(kind) ?? 0) - (before.get(kind) ?? 0);
  const compared = (['login', 'tenant read', 'token read', 'token write'] as const).map((kind) => ({
    what: kind,
    counted: counted.sum(kind),
    seen: seen(kind),
  }));
  return [...compared, { what: 'tokens issued', counted: counted.sum('source calls'), seen: seen('sign') }];
}

/** By Vault's own audit, which has a line before each answer. */
async function asked(file: string): Promise<ReadonlyMap<Kind, number>> {
  const counts = new Map<Kind, number>();
  for (const line of (await readFile(file, 'utf8')).split('\n').filter(Boolean)) {
    const { type, request } = JSON.parse(line) as { type: string; request?: { path?: string; operation?: string } };
    const kind = type === 'request' ? kindOf(request?.path ?? '', request?.operation ?? '') : undefined;
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

function kindOf(path: string, operation: string): Kind | undefined {
  if (path === 'auth/approle/login') return 'login';
  if (path.startsWith('postern/data/tenants/')) return 'tenant read';
  if (path.startsWith('postern-tokens/data/')) return operation === 'read' ? 'token read' : 'token write';
  return path.startsWith('transit/sign/') ? 'sign' : undefined;
}

async function exchange({ issuer }: LocalReplica, credential: { client_id: string; client_secret: string }): Promise<void> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', audience: API.audience, ...credential });
  const answer = await fetch(`${issuer}oauth/token`, { method: 'POST', body });
  await answer.arrayBuffer();
  if (!answer.ok) throw new Error(`an exchange was answered ${answer.status}`);
}
