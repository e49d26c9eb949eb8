import { createRemoteJWKSet, jwtVerify } from 'jose';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';

const REPORTS = { audience: 'https://reports.example.com' };
/** Seconds that verifiers may keep the key set, here. */
const MAX_AGE = 1;
const ROTATIONS = 6;

let house: House;
beforeAll(async () => {
  house = await startHouse();
});
afterAll(() => house.stop());

test(
  `${ROTATIONS} rotations under load: every token verifies, by verifiers that keep the key set as long ` +
    'as they may and never fetch it early',
  async () => {
    const replicas = [
      await house.startReplica({ env: { POSTERN_JWKS_MAX_AGE: String(MAX_AGE) } }),
      await house.startReplica({ env: { POSTERN_JWKS_MAX_AGE: String(MAX_AGE) } }),
    ];
    const tenant = await house.issueSecret('acme');
    // The harshest verifier: a cooldown as long as the test, so that an unknown kid is not looked for.
    const verifiers = replicas.map(({ issuer }) =>
      createRemoteJWKSet(new URL('.well-known/jwks.json', issuer), { cacheMaxAge: MAX_AGE * 1000, cooldownDuration: 3_600_000 }),
    );
    const kids = new Set<string>();
    let verified = 0;
    let going = true;
    const load = replicas.map(async (replica, i) => {
      for (let round = 0; going; round++) {
        // A claim of its own each time, so that each round signs anew.
        if (i === 0)
          await house.root.write('postern/data/tenants/acme', {
            data: { grants: [{ api: 'reports', scopes: ['read:reports'] }], claims: { 'https://postern.dev/round': String(round) } },
          });
        const reply = await exchange(replica, await house.issueSecret('acme'), REPORTS);
        expect(reply.status).toBe(200);
        const { protectedHeader } = await jwtVerify(String(reply.body['access_token']), verifiers[i]!, {
          issuer: replica.issuer,
          audience: REPORTS.audience,
          algorithms: ['RS256'],
        });
        kids.add(String(protectedHeader.kid));
        verified++;
      }
    });
    const first = String((await exchange(replicas[0]!, tenant, REPORTS)).body['access_token']);
    for (let rotation = 0; rotation < ROTATIONS; rotation++) {
      await house.root.write('transit/keys/postern/rotate');
      await sleep(2 * MAX_AGE * 1000 + 1200);
    }
    going = false;
    await Promise.all(load);
    expect(verified).toBeGreaterThan(ROTATIONS * 5);
    // Each version came to sign, and one signed by the first still verifies.
    expect(kids.size).toBeGreaterThanOrEqual(ROTATIONS);
    await jwtVerify(first, createRemoteJWKSet(new URL('.well-known/jwks.json', replicas[0]!.issuer)), {
      issuer: replicas[0]!.issuer,
      audience: REPORTS.audience,
    });
  },
  120_000,
);
