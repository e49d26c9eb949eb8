import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBrokerProcess } from '#dev/broker.ts';
import { APIS } from '#dev/scenario.ts';
import type { Stack } from '#dev/stack.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { brokerCredential } from './broker-credential.ts';
import { SERVER_CORE, pin } from './cores.ts';
import { acmeSecret } from './exchange.ts';
import type { Line } from './line.ts';
import { postForm } from './wrk.ts';

/** V8's CPU profile, as `node --cpu-prof` writes it. */
interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  readonly samples: readonly number[];
  /** µs, of each sample. */
  readonly timeDeltas: readonly number[];
}

/** Seconds of load before those that are looked at, and these. */
const [WARM_UP, LOOKED_AT] = [3, 6];

/** Where a hit's time goes: samples of V8's own profiler while wrk asks for one cached token over and over. */
export async function profileHit(stack: Stack, report: (line: string) => void): Promise<Line[]> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'postern-profile-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const { issuer, child } = await startBrokerProcess({
    ...(await brokerCredential(stack, folder, 'wrapped')),
    vaultAddress: stack.vault.address,
    auth0Issuer: stack.auth0.issuer,
    binding: 'action',
    logFile: join(folder, 'broker.log'),
    logLevel: 'info',
    reaper,
    env: { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${folder}` },
  });
  undo.defer(() => child.stop());
  await pin(child.pid, SERVER_CORE);
  const form = {
    grant_type: 'client_credentials',
    client_id: stack.roleIds.acme,
    client_secret: await acmeSecret(stack),
    audience: APIS.reports.audience,
  };
  report('profile: hits');
  await postForm(`${issuer}oauth/token`, form, WARM_UP);
  const { rate } = await postForm(`${issuer}oauth/token`, form, LOOKED_AT);
  const until = performance.now();
  await child.stop();
  const file = (await readdir(folder)).find((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error('the broker has written no profile');
  const shares = sharesOf(
    JSON.parse(await readFile(join(folder, file), 'utf8')) as Profile,
    LOOKED_AT + (performance.now() - until) / 1000,
  );
  return [
    { what: 'hits a second, with the profiler', goal: '', measured: String(Math.round(rate)), reached: undefined },
    ...shares.map(([what, share]): Line => ({ what, goal: '', measured: `${(100 * share).toFixed(1)} %`, reached: undefined })),
  ];
}

/** The shares of the time in which it did anything, greatest first. @param last seconds of the profile that count */
export function sharesOf({ nodes, samples, timeDeltas }: Profile, last: number): [string, number][] {
  const rooms = new Map(nodes.map(({ id, callFrame }) => [id, roomOf(callFrame)]));
  const end = timeDeltas.reduce((sum, one) => sum + one, 0);
  const times = new Map<string, number>();
  let [at, all] = [0, 0];
  for (const [index, id] of samples.entries()) {
    const took = timeDeltas[index] ?? 0;
    at += took;
    const room = rooms.get(id);
    if (at <= end - last * 1e6 || room === undefined) continue;
    times.set(room, (times.get(room) ?? 0) + took);
    all += took;
  }
  return [...times]
    .map(([room, time]): [string, number] => [room, time / all])
    .filter(([, share]) => share >= 0.005)
    .sort((a, b) => b[1] - a[1]);
}

/** Whose work it is; undefined: nobody's. */
function roomOf({ functionName, url }: Profile['nodes'][number]['callFrame']): string | undefined {
  if (functionName === '(idle)') return undefined;
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (functionName === '(program)') return 'native code: the HTTP parser, the event loop, reads';
  if (/^(write(Latin1|Utf8|Ascii)String|writev|writeBuffer)$/.test(functionName) && url === '') return 'writing to sockets, in the kernel';
  const ours = /\/broker\/([^/]+)/.exec(url)?.[1];
  if (ours !== undefined) return `broker/${ours}`;
  const from = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (from !== undefined) return `package ${from}`;
  if (url.startsWith('node:internal/crypto')) return 'Node: hashes';
  if (/^node:(_http|internal\/http|_http_)/.test(url)) return 'Node: HTTP';
  if (/^node:(net|internal\/stream|stream|internal\/streams|events|internal\/js_stream)/.test(url)) return 'Node: sockets and streams';
  if (url.startsWith('node:')) return `Node: the rest`;
  return 'native functions';
}
