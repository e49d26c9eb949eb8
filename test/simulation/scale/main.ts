import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '#tools/part/version.ts';
import { svg } from './plot.ts';
import { BEFORE, HERDS, expiry, herd, ordinary, vaultRate } from './scenario.ts';
import type { Herd, Outcome, ScenarioOptions } from './scenario.ts';

const HELP = `Usage: make scale [ARGS='--tenants N --replicas N --days N --sample N --seed N --plot FILE']

Brokers by count: what so many tenants and replicas ask of Vault and of Auth0, by the product's own rules, bounds and
prices (test/simulation/scale/). Nothing is sent; the same seed gives the same numbers.

Options:
  --tenants N    default 1,000,000
  --replicas N   default 100
  --days N       of virtual time; default 7
  --lifetime N   of tokens, s; default 86,400
  --sample N     one tenant of so many is simulated; default: so that 200 are
  --seed N       default 1
  --compare      instead: sends the same requests to real brokers on a real Vault, and compares what both count
  --vault        instead: what a real Vault's processor takes for a request
  --plot FILE    writes the plots (docs/scale.svg is one)
`;

const { values } = parseArgs({
  options: {
    tenants: { type: 'string', default: '1000000' },
    replicas: { type: 'string', default: '100' },
    days: { type: 'string', default: '7' },
    lifetime: { type: 'string', default: '86400' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    plot: { type: 'string' },
    compare: { type: 'boolean', default: false },
    vault: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const per = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(2))));

function told(name: string, { rates, peaks, standing, ledger, held, bytes }: Outcome): void {
  const row = (what: string, ...cells: readonly string[]): void =>
    console.log(`  ${what.padEnd(34)}${cells.map((cell) => cell.padStart(14)).join('')}`);
  console.log(`\n${name}`);
  row('a second', 'mean', 'busiest hour');
  row('requests of clients', per(rates.requests), per(peaks.requests));
  row('  answered from memory alone', `${((100 * rates.hits) / rates.requests).toFixed(1)} %`);
  row('Vault, for clients', per(vaultRate(rates)), per(vaultRate(peaks)));
  for (const operation of ['login', 'tenant read', 'token read', 'token write'] as const)
    row(`  ${operation}`, per(rates[operation]), per(peaks[operation]));
  row('Vault, whoever asks', per(standing.looks + standing.catalogue + standing.usage));
  for (const [what, rate] of Object.entries(standing)) row(`  ${what}`, per(rate));
  row('Vault, ledger of tokens', per(ledger.reads + ledger.writes));
  row('  MB a second, fullest page in kB', per(ledger.bytes / 1e6), per(ledger.page / 1e3));
  row('  rest between two looks, s', per(ledger.looks));
  row('Auth0', per(rates['source calls']), per(peaks['source calls']));
  row('a replica: tokens, verifications', per(held.tokens), per(held.credentials));
  row('  and their memory, MB', per(bytes / 1e6));
}

if (values.help) console.log(HELP);
else if (values.compare) {
  const { compare } = await import('./compare.ts');
  console.table(await compare({ tenants: 100, replicas: 3, seconds: 150, seed: Number(values.seed) }));
} else if (values.vault) {
  const { capacity } = await import('./capacity.ts');
  for (const [operation, ms] of Object.entries(await capacity({ requests: 500 })))
    console.log(`  ${operation.padEnd(14)}${ms.toFixed(2)} ms of a core, ${Math.round(1_000 / ms)}/s each`);
} else {
  const options: ScenarioOptions = {
    tenants: Number(values.tenants),
    replicas: Number(values.replicas),
    days: Number(values.days),
    lifetime: Number(values.lifetime),
    sample: values.sample === undefined ? Math.max(1, Math.round(Number(values.tenants) / 200)) : Number(values.sample),
    seed: Number(values.seed),
    balance: 'tenant',
  };
  const byTenant = await ordinary(options);
  told('The balancer sends each tenant to one replica', byTenant);
  const any = await ordinary({ ...options, balance: 'any', days: Math.min(2, options.days) });
  told('Any replica, two days', any);
  const paced = await ordinary({ ...options, days: Math.min(1, options.days), settings: { usageInterval: 7_200 } });
  console.log('\nWith POSTERN_USAGE_INTERVAL=7200');
  console.log(
    `  last uses ${per(paced.standing.usage)}/s, ledger ${per(paced.ledger.reads + paced.ledger.writes)}/s and ${per(paced.ledger.bytes / 1e6)} MB/s`,
  );

  console.log('\nHerds, each tenant at one replica: requests to Vault and to Auth0 in a second');
  const herds = {} as Record<Herd, Awaited<ReturnType<typeof herd>>>;
  for (const which of Object.keys(HERDS) as Herd[]) {
    const outcome = (herds[which] = await herd(options, which));
    const mean = outcome.vault.slice(0, BEFORE).reduce((sum, one) => sum + one, 0) / BEFORE;
    const most = (of: Float64Array, from: number, to: number): number => Math.max(...of.slice(BEFORE + from, BEFORE + to));
    const { vault, source } = outcome;
    // 140 s after the event come the jobs of a full five minutes.
    const [first, later] = which === 'jobs' ? [140, 160] : [0, 30];
    console.log(
      `  ${HERDS[which]}\n    Vault before ${per(mean)}, at most ${per(most(vault, first, later))}` +
        (which === 'jobs' ? '' : `, 30 to 60 s later ${per(most(vault, 30, 60))}, 60 to 130 s later ${per(most(vault, 60, 130))}`) +
        `; Auth0 at most ${per(most(source, first, later))}`,
    );
  }
  const together = await expiry(options);
  console.log(`\nAll tokens issued in one second: Auth0 at most ${per(Math.max(...together))}/s in a quarter of an hour`);

  if (values.plot !== undefined) {
    const perHour = (of: ArrayLike<number>): Float64Array => Float64Array.from(of, (one) => one / 3_600);
    const days = Array.from({ length: options.days + 1 }, (_, day) => [day * 24 - (day === options.days ? 1 : 0), `day ${day}`] as const);
    await writeFile(
      join(checkout, values.plot),
      svg([
        {
          title: 'A week',
          unit: 'a second',
          ticks: days,
          series: [
            { name: 'requests', values: perHour(byTenant.hours.of('requests')) },
            { name: 'Vault', values: perHour(byTenant.hours.vault()) },
          ],
        },
        {
          title: 'Auth0',
          unit: 'a second',
          ticks: days,
          series: [{ name: 'token requests', values: perHour(byTenant.hours.of('source calls')) }],
        },
        {
          title: 'Herds at Vault',
          unit: 'a second',
          ticks: [0, 30, 60, 90, 150, 210, 270, 329].map((at) => [at, `${at - BEFORE} s`] as const),
          series: (Object.keys(HERDS) as Herd[]).map((which) => ({ name: which, values: herds[which].vault })),
        },
        {
          title: 'All issued in one second',
          unit: 'Auth0 a second',
          ticks: [0, 24, 48, 72, together.length - 1].map((at) => [at, `${at / 4} h`] as const),
          series: [{ name: 'token requests', values: together }],
        },
      ]),
    );
    console.log(`\n${values.plot}`);
  }
}
