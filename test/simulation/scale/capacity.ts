import { readFile } from 'node:fs/promises';
import { VaultClient } from '#broker/vault/client.ts';
import { startHouse } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { customer } from './customer.ts';

/** Processor time that a real Vault takes for one request of a kind, ms; all its threads together. */
export type Costs = Readonly<Record<'login' | 'tenant read' | 'token read' | 'token write' | 'state read' | 'sign', number>>;

export interface CapacityOptions {
  /** Of each kind. */
  readonly requests: number;
}

const TENANTS = 50;
/** At once. */
const WIDTH = 16;
/** Of Linux's clock in /proc, a second. */
const TICKS = 100;
/** As long as an access token and what stands beside it. */
const TEXT = 'x'.repeat(1_200);
const API = { audience: 'https://scale.example.com', source: 'transit', scopes: ['read:all'] } as const;

/**
 * By its processor time, which other work on the machine changes little, with the policies and the audit device that Terraform makes. Its
 * storage is memory: on Raft a write costs each node one more, and a disk.
 */
export async function capacity({ requests }: CapacityOptions): Promise<Costs> {
  await using house = await startHouse({ apis: { scale: API }, tenants: {} });
  const { pid } = house.vault as { pid?: number };
  if (pid === undefined) throw new Error('Vault must run as a program: POSTERN_DOCKER=off');
  await using undo = new AsyncDisposableStack();
  const client = new VaultClient({ address: house.vault.address, timeoutMs: 60_000 });
  undo.defer(() => client.close());
  const customers = await Promise.all(Array.from({ length: TENANTS }, (_, n) => customer(house, n, API.scopes)));
  const login = async (mount: string, role_id: string, secret_id: string): Promise<string> => {
    const token = String((await client.write(`auth/${mount}/login`, { role_id, secret_id })).auth?.['client_token']);
    registerSecret('Vault token', token);
    return token;
  };
  const tenants = await Promise.all(customers.map(({ client_id, client_secret }) => login('approle', client_id, client_secret)));
  const secret = String((await house.root.write('auth/approle-broker/role/broker/secret-id')).data?.['secret_id']);
  registerSecret('broker secret_id', secret);
  const roleId = String((await house.root.read('auth/approle-broker/role/broker/role-id'))?.data?.['role_id']);
  const broker = await login('approle-broker', roleId, secret);
  await house.root.write('postern/data/state/epoch', { data: { epoch: 1, disabled: [], recent: [] } });
  const token = { data: { grant: 'x', access_token: TEXT } };
  const perRequest = async (work: (n: number) => Promise<unknown>): Promise<number> => {
    await inTurn(100, work);
    const before = await cpuMs(pid);
    await inTurn(requests, work);
    return ((await cpuMs(pid)) - before) / requests;
  };
  const of = (n: number): { tenant: string; token: string } => ({ tenant: `scale-${n % TENANTS}`, token: tenants[n % TENANTS]! });
  return {
    login: await perRequest((n) => login('approle', customers[n % TENANTS]!.client_id, customers[n % TENANTS]!.client_secret)),
    'tenant read': await perRequest((n) => client.read(`postern/data/tenants/${of(n).tenant}`, { token: of(n).token })),
    'token write': await perRequest((n) => client.write(`postern-tokens/data/${of(n).tenant}/scale`, token, { token: broker })),
    'token read': await perRequest((n) => client.read(`postern-tokens/data/${of(n).tenant}/scale`, { token: of(n).token })),
    'state read': await perRequest(() => client.read('postern/data/state/epoch', { token: broker })),
    sign: await perRequest(() =>
      client.write('transit/sign/postern', { input: Buffer.from(TEXT).toString('base64'), ...SIGNING }, { token: broker }),
    ),
  };
}

const SIGNING = { hash_algorithm: 'sha2-256', signature_algorithm: 'pkcs1v15', marshaling_algorithm: 'jws' } as const;

async function inTurn(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
}

async function cpuMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
}
