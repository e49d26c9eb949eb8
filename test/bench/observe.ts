import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBrokerProcess } from '#dev/broker.ts';
import { freePort } from '#dev/port.ts';
import { APIS } from '#dev/scenario.ts';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';
import { startOtlpReceiver } from '#test/fixture/otlp-receiver.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { brokerCredential } from './broker-credential.ts';
import { SERVER_CORE, pin } from './cores.ts';
import { compared } from './line.ts';
import type { Comparison, Line } from './line.ts';
import { postForm } from './wrk.ts';
import type { Load } from './wrk.ts';

/** A broker under load. */
interface Watched {
  readonly url: string;
  readonly pid: number;
}

/**
 * Hits of a broker that nobody watches, of one whose metrics are read each second, tenants told apart, and of one that sends traces of a
 * hundredth as well: turn by turn, on the servers' core.
 */
export async function measureObserved(
  stack: Stack,
  { rounds, seconds, report, signal }: { rounds: number; seconds: number; report: (line: string) => void; signal: AbortSignal },
): Promise<Line[]> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'postern-observe-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const receiver = undo.use(await startOtlpReceiver());
  const as = { token: stack.vault.rootToken };
  const start = async (name: string, env: Record<string, string>): Promise<Watched> => {
    const { issuer, child } = await startBrokerProcess({
      ...(await brokerCredential(stack, folder, name)),
      vaultAddress: stack.vault.address,
      auth0Issuer: stack.auth0.issuer,
      binding: 'action',
      logFile: join(folder, `${name}.log`),
      logLevel: 'info',
      reaper,
      env,
      signal,
    });
    undo.defer(() => child.stop());
    await pin(child.pid, SERVER_CORE);
    return { url: `${issuer}oauth/token`, pid: child.pid };
  };
  const metrics = async (): Promise<Record<string, string>> => {
    const port = await freePort();
    // As Prometheus would, and fifteen times as often.
    const scraping = setInterval(() => {
      void fetch(`http://127.0.0.1:${port}/metrics`)
        .then((answer) => answer.text())
        .catch(() => {});
    }, 1_000);
    undo.defer(() => clearInterval(scraping));
    return { POSTERN_METRICS_LISTEN: `127.0.0.1:${port}`, POSTERN_METRICS_TENANTS: '10' };
  };
  const unwatched = await start('unwatched', {});
  const counted = await start('counted', await metrics());
  const traced = await start('traced', {
    ...(await metrics()),
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.01',
  });
  const results: Comparison[] = [
    { what: 'hit with metrics that are read, over one without', goal: 0.97, sign: '', ours: [], other: [] },
    { what: 'hit with metrics and traces of a hundredth, over one without', goal: 0.93, sign: '', ours: [], other: [] },
  ];
  for (let round = 0; round <= rounds; round++) {
    signal.throwIfAborted();
    report(round === 0 ? 'metrics and traces: warming up' : `metrics and traces: round ${round} of ${rounds}`);
    const { data } = await stack.client.write('auth/approle/role/acme/secret-id', {}, as);
    const form = {
      grant_type: 'client_credentials',
      client_id: stack.roleIds.acme,
      client_secret: noteSecret('secret_id', String(data?.['secret_id'])),
      audience: APIS.reports.audience,
    };
    // Each is first in every third round.
    const order = [unwatched, counted, traced].map((_, at, all) => all[(at + round) % 3]!);
    const loads = new Map<Watched, Load>();
    for (const watched of order) {
      await postForm(watched.url, form, 1);
      loads.set(watched, await postForm(watched.url, form, seconds, [watched.pid]));
    }
    if (round === 0) continue;
    for (const [at, watched] of [counted, traced].entries()) {
      results[at]!.ours.push(loads.get(watched)!);
      results[at]!.other.push(loads.get(unwatched)!);
    }
  }
  return [
    ...results.map(compared),
    {
      what: 'spans that the receiver got meanwhile',
      goal: '> 0',
      measured: String(receiver.spans.length),
      reached: receiver.spans.length > 0,
    },
  ];
}
