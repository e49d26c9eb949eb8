import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { AUDIENCE, GITHUB, SUBJECT, githubToken, issuerKey } from '#test/integration/trust.forgeries.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';
import { postForm } from './wrk.ts';

const WARM_UP = 300;
const MEASURED = 1000;
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/**
 * Token exchange with a JWT under a trust beside the same with a Vault token, where the access token is in memory: in both cases Vault is
 * asked each time. Turn by turn, one at a time, by one HTTP client; then 32 at once.
 */
export async function measureKeyless(rounds: number, seconds: number, report: (line: string) => void): Promise<Line[]> {
  report('keyless exchanges beside those of a Vault token');
  const keys = [issuerKey.publicKey.export({ type: 'spki', format: 'pem' }).toString()];
  const trusts = { ci: { issuer: GITHUB, audience: AUDIENCE, subject: SUBJECT } };
  await using house = await startHouse({ tenants: { acme: { ...TENANTS.acme, issuers: { [GITHUB]: { keys } }, trusts } } });
  const many = '1000000';
  const broker = await house.startReplicaProcess({ env: { POSTERN_THROTTLE_ADDRESS: many, POSTERN_THROTTLE_CLIENT: many } });
  const { client_id: roleId, client_secret: secretId } = await house.issueSecret('acme');
  const { auth } = await house.root.write('auth/approle/login', { role_id: roleId, secret_id: secretId });
  const vaultToken = String(auth?.['client_token']);
  registerSecret('Vault token', vaultToken);
  const shared = { grant_type: TOKEN_EXCHANGE, audience: APIS.reports.audience };
  const forms = {
    keyless: { ...shared, subject_token: githubToken({ exp: Math.floor(Date.now() / 1000) + 3_600 }), subject_token_type: `${TYPE}:jwt` },
    vault: { ...shared, subject_token: vaultToken, subject_token_type: 'urn:postern:params:oauth:token-type:vault-token' },
  };
  const pool = new Pool(broker.issuer, { connections: 1 });
  const took: Record<keyof typeof forms, number[]> = { keyless: [], vault: [] };
  const ask = async (name: keyof typeof forms): Promise<void> => {
    const start = performance.now();
    const reply = await pool.request({
      method: 'POST',
      path: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(forms[name]).toString(),
    });
    const text = await reply.body.text();
    took[name].push(performance.now() - start);
    if (reply.statusCode !== 200) throw new Error(`${name} was answered ${reply.statusCode}`);
    if (took[name].length === 1) registerSecret('access token', (JSON.parse(text) as { access_token: string }).access_token);
  };
  for (let turn = 0; turn < WARM_UP + MEASURED; turn++) {
    const names = ['keyless', 'vault'] as const;
    for (const name of turn % 2 ? names : names.toReversed()) await ask(name);
  }
  await pool.close();
  const [ours, other] = [median(took.keyless.slice(WARM_UP)), median(took.vault.slice(WARM_UP))];

  const rates: Record<keyof typeof forms, number[]> = { keyless: [], vault: [] };
  for (let round = 0; round <= rounds; round++)
    for (const name of ['keyless', 'vault'] as const) {
      const load = await postForm(`${broker.issuer}oauth/token`, forms[name], seconds);
      if (round > 0) rates[name].push(load.rate);
      await sleep(200);
    }
  const ratio = ours / other;
  const busy = median(rates.keyless.map((rate, at) => rates.vault[at]! / rate));
  return [
    {
      what: 'keyless exchange over token exchange with a Vault token, p50',
      goal: '≤ 1.5×',
      measured: `${ratio.toFixed(2)}× (${ours.toFixed(2)} ms over ${other.toFixed(2)} ms, ${MEASURED} each)`,
      reached: ratio <= 1.5,
    },
    {
      what: 'the same, 32 at once, time for one',
      goal: '≤ 1.5×',
      measured: `${busy.toFixed(2)}× (${Math.round(median(rates.keyless))}/s beside ${Math.round(median(rates.vault))}/s)`,
      reached: busy <= 1.5,
    },
  ];
}

const TYPE = 'urn:ietf:params:oauth:token-type';
