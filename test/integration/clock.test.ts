import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';

/*
 * A broker whose wall clock is set while it runs: `Date.now` of the real process is shifted by what stands in a file.
 */

let house: House;
let folder: string;
let replica: ProcessReplica;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-clock-'));
  await set(0);
  const shift = `import{readFileSync}from'node:fs';const real=Date.now;let by=0;
    setInterval(()=>{try{by=Number(readFileSync(${JSON.stringify(join(folder, 'shift'))},'utf8'))}catch{}},20).unref();
    Date.now=()=>real()+by`;
  const code = join(folder, 'shift.mjs');
  await writeFile(code, shift);
  house = await startHouse();
  replica = await house.startReplicaProcess({ env: { NODE_OPTIONS: `--import=${code}`, POSTERN_METRICS_LISTEN: '127.0.0.1:0' } });
});
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** @param ms ahead of the real time */
const set = (ms: number): Promise<void> => writeFile(join(folder, 'shift'), String(ms));
const readiness = async (): Promise<{ http: number; warnings?: string[]; missing?: string[] }> => {
  const reply = await fetch(`${replica.issuer}readyz`);
  return { http: reply.status, ...((await reply.json()) as object) };
};
/** Until it says so. */
const says = (what: Record<string, unknown>): Promise<void> =>
  expect.poll(async () => (await readiness()) as Record<string, unknown>, { timeout: 10_000 }).toMatchObject(what);
const REPORTS = 'https://reports.example.com';
const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');
const present = async (door: string, { client_id, client_secret }: Credential, token: string): Promise<unknown> => {
  const body = new URLSearchParams({ client_id, client_secret, token });
  const reply = await fetch(`${replica.issuer}oauth/${door}`, { method: 'POST', body });
  const text = await reply.text();
  return text === '' ? reply.status : JSON.parse(text);
};

test(
  'that the clock is off is told from 30 s on; from 5 min on it is not ready; set right it serves again',
  { timeout: 90_000 },
  async () => {
    const credential = await house.issueSecret('acme');
    expect((await exchange(replica, credential, { audience: REPORTS })).status).toBe(200);
    // As many answers as must agree.
    await sleep(3_000);
    expect(await readiness()).not.toHaveProperty('warnings');

    await set(25_000);
    await sleep(500);
    expect(await readiness()).not.toHaveProperty('warnings');

    for (const [ms, text] of [
      [-60_000, /clock of this machine is (59|60|61) s behind that of Vault/],
      [60_000, /clock of this machine is (59|60|61) s ahead of that of Vault/],
    ] as const) {
      await set(ms);
      await says({ http: 200, warnings: expect.arrayContaining([expect.stringMatching(text)]) });
      const reply = await exchange(replica, credential, { audience: REPORTS });
      expect(reply.status).toBe(200);
      const { access_token: token, expires_in: life } = reply.body as { access_token: string; expires_in: number };
      // However late it is here: by nobody's clock does the token live longer than its holder is told.
      expect(life).toBeLessThanOrEqual(decodeJwt(token).exp! - Date.now() / 1000 + 1);
    }
    // The log looks every five seconds.
    await expect.poll(() => replica.log(), { timeout: 10_000 }).toMatch(/clock of this machine is \d+ s ahead of that of Vault/);

    await set(-360_000);
    await says({ http: 503, missing: [expect.stringMatching(/36\d s behind that of Vault|35\d s behind that of Vault|360 s behind/)] });
    await set(0);
    await says({ http: 200 });
    await expect
      .poll(() => replica.log(), { timeout: 10_000 })
      .toContain('over: the clock of this machine agrees with that of Vault again');
    expect((await exchange(replica, credential, { audience: REPORTS })).status).toBe(200);
  },
);

test(
  "Auth0's clock is compared, too: off alone it is told, and nobody is out for it; right again it is told as such soon",
  { timeout: 60_000 },
  async () => {
    const { faults, issuer, calls } = house.auth0;
    const before = calls.token;
    faults.set({ kind: 'clock', milliseconds: 400_000 }, { endpoint: 'token', times: 2 });
    faults.set({ kind: 'clock', milliseconds: 400_000 }, { endpoint: 'jwks' });
    const orders = { audience: 'https://orders.example.com' };
    const credentials = await Promise.all(['acme', 'globex'].map((tenant) => house.issueSecret(tenant)));
    for (const credential of credentials) expect((await exchange(replica, credential, orders)).status).toBe(200);
    expect(calls.token - before).toBe(2);
    await says({
      http: 200,
      status: 'degraded',
      why: [expect.stringMatching(/^http\S+ tells a time that is (399|400|401) s off that of Vault and of this machine$/)],
      warnings: [expect.stringContaining(issuer)],
    });
    // As it is still after it was asked again.
    const looks = calls.jwks;
    await expect.poll(() => calls.jwks - looks, { timeout: 15_000 }).toBeGreaterThan(1);
    expect(await readiness()).toMatchObject({ http: 200, status: 'degraded' });

    faults.clear();
    await says({ http: 200, status: 'ready' });
    expect(await readiness()).not.toHaveProperty('warnings');
    expect(calls.token - before).toBe(2);
  },
);

test.each([-120_000, 120_000])(
  "by a clock that is off by %d ms tokens are dated, judged and ended by Vault's",
  { timeout: 60_000 },
  async (off) => {
    const [acme, globex] = [await house.issueSecret('acme'), await house.issueSecret('globex')];
    const tokenOf = async (credential: Credential): Promise<{ token: string; life: number }> => {
      const { status, body } = await exchange(replica, credential, { audience: REPORTS });
      expect(status).toBe(200);
      return { token: String(body['access_token']), life: Number(body['expires_in']) };
    };
    const before = (await tokenOf(acme)).token;
    await set(off);
    await says({ http: 200, warnings: expect.arrayContaining([expect.stringMatching(/that of Vault/)]) });
    expect(await present('introspect', acme, before)).toMatchObject({ active: true });
    expect(await present('revoke', acme, before)).toBe(200);
    const { token, life } = await tokenOf(acme);
    const { iat, exp } = decodeJwt(token);
    const now = Date.now() / 1000;
    expect(Math.abs(iat! - now)).toBeLessThan(3);
    expect(Math.abs(exp! - now - life)).toBeLessThan(3);
    expect(await present('introspect', acme, token)).toMatchObject({ active: true });

    const old = (await tokenOf(globex)).token;
    const at = Math.ceil(Date.now() / 1000) + 2;
    const serial = off > 0 ? 2 : 1;
    const ending = { kind: 'tokens', id: 'globex', tenant: 'globex', at, until: at + 3_900 };
    await house.root.write('postern/data/state/ended', { data: { serial, recent: [ending] } });
    await expect.poll(() => present('introspect', globex, old), { timeout: 5_000 }).toEqual({ active: false });
    expect((await tokenOf(globex)).token).not.toBe(old);
    await set(0);
    await says({ http: 200 });
  },
);

test('what is revoked and ended stays so over a clock that went ahead and came back', { timeout: 180_000 }, async () => {
  const [acme, globex] = [await house.issueSecret('acme'), await house.issueSecret('globex')];
  const tokenOf = async (credential: Credential): Promise<string> =>
    String((await exchange(replica, credential, { audience: REPORTS })).body['access_token']);
  const [revoked, ended] = [await tokenOf(acme), await tokenOf(globex)];
  await sleep(1_500);
  const now = Math.floor(Date.now() / 1000);
  // As both lie after many later ones: in the archive.
  const sha = sha256Of(revoked);
  const place = `postern/data/state/revocations/${sha[0]}`;
  await house.root.write(place, { data: { revoked: { [sha]: `${decodeJwt(revoked).exp} acme` } } });
  const ending = { kind: 'tokens', id: 'globex', tenant: 'globex', at: now, until: now + 3_900 };
  await house.root.write(`postern/data/state/ended/${sha256Of('globex')[0]}`, { data: { ended: [ending] } });
  const others = Array.from({ length: 128 }, (_, n) => ({ sha256: sha256Of(`${n}`), tenant: 'other', exp: now + 3_600, at: now }));
  await house.root.write('postern/data/state/revocations', { data: { serial: 1_000, recent: others } });
  await house.root.write('postern/data/state/ended', { data: { serial: 3, recent: [] } });
  const inactive = async (): Promise<void> => {
    expect(await present('introspect', acme, revoked)).toEqual({ active: false });
    expect(await present('introspect', globex, ended)).toEqual({ active: false });
  };
  await expect
    .poll(
      () =>
        inactive().then(
          () => true,
          () => false,
        ),
      { timeout: 5_000 },
    )
    .toBe(true);

  await set(7_200_000);
  await says({ http: 503 });
  // This replica moves the older half to the archive, and writes that anew.
  await present('revoke', acme, await tokenOf(acme));
  const archive = (await house.root.read(place))?.data as { data: { revoked: Record<string, string> } };
  expect(Object.keys(archive.data.revoked)).toEqual(
    expect.arrayContaining([sha, ...others.slice(0, 64).flatMap((one) => (one.sha256[0] === sha[0] ? [one.sha256] : []))]),
  );
  await sleep(62_000);
  await set(0);
  await says({ http: 200 });
  await inactive();
  expect(await tokenOf(acme)).not.toBe(revoked);
});
