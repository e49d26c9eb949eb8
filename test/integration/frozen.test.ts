import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, ProcessReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';

const ORDERS = 'https://orders.example.com';

let house: House;
let replica: ProcessReplica;
let operator: string;

beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplicaProcess();
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
});
afterAll(() => house?.stop());

const cli = (...words: string[]) => postern(words, { env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator } });

test('a broker that stood still obeys what was announced meanwhile before it serves who waits', async () => {
  const credential = await house.issueSecret('acme');
  const { key, key_id: keyId } = (await cli('key', 'issue', 'globex', '--json')).json as { key: string; key_id: string };
  registerSecret('API key', key);
  const form = { grant_type: 'client_credentials', client_id: credential.client_id, client_secret: credential.client_secret };
  const ask = async (): Promise<number> => {
    const body = new URLSearchParams({ ...form, audience: ORDERS });
    const reply = await fetch(`${replica.issuer}oauth/token`, { method: 'POST', body });
    await reply.arrayBuffer();
    return reply.status;
  };
  const verify = async (): Promise<number> => {
    const reply = await fetch(`${replica.issuer}verify?audience=${encodeURIComponent(ORDERS)}`, { headers: { 'X-API-Key': key } });
    await reply.arrayBuffer();
    return reply.status;
  };
  const many = (): Promise<number[]> => Promise.all([ask(), ask(), ask(), ask(), verify(), verify(), verify(), verify()]);
  expect(await many()).toEqual(Array(8).fill(200));

  process.kill(replica.child.pid!, 'SIGSTOP');
  try {
    expect((await cli('tenant', 'disable', 'acme')).code).toBe(0);
    expect((await cli('key', 'revoke', 'globex', keyId)).code).toBe(0);
    const begun = many();
    // Longer than it may take to be known, and less than a verification is remembered.
    await sleep(4_000);
    process.kill(replica.child.pid!, 'SIGCONT');
    expect(await begun).toEqual([403, 403, 403, 403, 401, 401, 401, 401]);
  } finally {
    process.kill(replica.child.pid!, 'SIGCONT');
  }
});
