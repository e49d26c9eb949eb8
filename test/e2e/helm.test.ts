import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { schema } from '#broker/config-schema.ts';
import { checkout, packageVersion, versions } from '#tools/part/version.ts';
import { KubernetesSchemas } from '#test/fixture/kubernetes.ts';
import type { KubernetesObject } from '#test/fixture/kubernetes.ts';
import { findHelm } from '#test/part/helm.ts';

const CHART = join(checkout, 'deploy/helm/postern');
/** What the chart makes of its defaults, for whoever has no Helm; `POSTERN_RENDER=1` writes it anew. */
const RENDERED = join(checkout, 'deploy/helm/rendered.yaml');
const SETS = ['defaults', 'everything', 'approle'] as const;

let helm: string;
let schemas: KubernetesSchemas;

beforeAll(async () => {
  [helm, schemas] = await Promise.all([findHelm().then(({ path }) => path), KubernetesSchemas.load()]);
}, 600_000);

const run = (args: string[]) => execa(helm, args, { cwd: CHART, reject: false, stdin: 'ignore' });
const valuesOf = (set: string): string => join(CHART, 'ci', `${set}-values.yaml`);

async function render(set: string, more: string[] = []): Promise<string> {
  const { failed, stdout, stderr } = await run([
    'template',
    'postern',
    '.',
    '--namespace=tokens',
    `--kube-version=${versions.kubernetes.version}`,
    `--values=${valuesOf(set)}`,
    ...more,
  ]);
  if (failed) throw new Error(stderr);
  return stdout;
}

async function objects(set: string, more: string[] = []): Promise<KubernetesObject[]> {
  return parseAllDocuments(await render(set, more)).flatMap((document) => (document.toJS() as KubernetesObject | null) ?? []);
}

const only = (all: KubernetesObject[], kind: string): KubernetesObject => {
  const found = all.filter((one) => one.kind === kind);
  expect(found, kind).toHaveLength(1);
  return found[0]!;
};
const podOf = (all: KubernetesObject[]) => only(all, 'Deployment').spec!['template'].spec;
const envOf = (all: KubernetesObject[]): Record<string, string> =>
  Object.fromEntries(podOf(all).containers[0].env.map(({ name, value }: { name: string; value: string }) => [name, value]));

test('there is a trial of each set of values', async () => {
  expect((await readdir(join(CHART, 'ci'))).sort()).toEqual(SETS.map((set) => `${set}-values.yaml`).sort());
});

describe.each(SETS)('with the values %s', (set) => {
  test('helm lint finds nothing', async () => {
    const { exitCode, all } = await execa(
      helm,
      ['lint', '.', '--strict', `--kube-version=${versions.kubernetes.version}`, `--values=${valuesOf(set)}`],
      { cwd: CHART, reject: false, all: true },
    );
    expect({ exitCode, all }).toEqual({ exitCode: 0, all: expect.stringContaining('0 chart(s) failed') });
  });

  test("every object is what Kubernetes' own API describes", async () => {
    const all = await objects(set);
    expect(all.length).toBeGreaterThanOrEqual(2);
    expect(all.flatMap((one) => schemas.faults(one))).toEqual([]);
    for (const { metadata } of all)
      expect(metadata).toMatchObject({ namespace: 'tokens', labels: { 'app.kubernetes.io/name': 'postern' } });
  });

  test('its pods have no rights, and only settings that the broker knows', async () => {
    const all = await objects(set);
    const pod = podOf(all);
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          args: ['serve'],
        },
      ],
    });
    // Longer than the broker takes to end by itself, or the kubelet would cut requests off.
    const env = envOf(all);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(Number(env['POSTERN_LAME_DUCK']) + Number(env['POSTERN_SHUTDOWN_GRACE']));
    const known = new Set([...Object.keys(schema.shape), 'VAULT_ADDR', 'VAULT_NAMESPACE', 'VAULT_CACERT']);
    expect(Object.keys(env).filter((name) => !known.has(name))).toEqual([]);
    expect(JSON.stringify(all)).not.toMatch(/"POSTERN_(SECRET_ID|WRAPPED_SECRET_ID)"/);
  });
});

test('by default: two replicas apart from each other, one of which is always there, and nobody notices a new version', async () => {
  const all = await objects('defaults');
  expect(all.map(({ kind }) => kind).sort()).toEqual(['Deployment', 'NetworkPolicy', 'PodDisruptionBudget', 'Service', 'ServiceAccount']);
  const { spec } = only(all, 'Deployment');
  expect(spec).toMatchObject({ replicas: 2, strategy: { rollingUpdate: { maxUnavailable: 0 } } });
  expect(podOf(all).affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution).toHaveLength(1);
  expect(only(all, 'PodDisruptionBudget').spec).toMatchObject({ minAvailable: 1 });
  const [container] = podOf(all).containers;
  for (const [probe, path] of [
    ['startupProbe', '/livez'],
    ['livenessProbe', '/livez'],
    ['readinessProbe', '/readyz'],
  ])
    expect(container[probe!].httpGet).toEqual({ path, port: 'http', scheme: 'HTTP' });
  expect(envOf(all)).toMatchObject({ POSTERN_VAULT_AUTH: 'kubernetes', POSTERN_BROKER_JWT_FILE: '/var/run/secrets/postern/token' });
  expect(podOf(all).volumes[0].projected.sources[0].serviceAccountToken).toEqual({
    path: 'token',
    audience: 'vault',
    expirationSeconds: 3600,
  });
});

test('with everything: probes by TLS below the path of the issuer, replicas left to the autoscaler', async () => {
  const all = await objects('everything');
  expect(only(all, 'Deployment').spec).not.toHaveProperty('replicas');
  expect(podOf(all).containers[0].readinessProbe.httpGet).toEqual({ path: '/tokens/readyz', port: 'http', scheme: 'HTTPS' });
  expect(envOf(all)).toMatchObject({
    POSTERN_TRUSTED_PROXIES: '10.0.0.0/8,fd00::/8',
    POSTERN_BROKER_JWT_MOUNT: 'jwt-prod',
    POSTERN_VERIFY_TTL: '10',
    POSTERN_FORWARD_CLIENT_ADDRESS: 'true',
  });
  expect(all.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(['HorizontalPodAutoscaler', 'Ingress', 'ServiceMonitor', 'PrometheusRule']),
  );
  expect(only(all, 'Ingress').spec!['rules'].map(({ host }: { host: string }) => host)).toEqual(['example.com', 'www.example.com']);
});

test.each<[string, string[], RegExp]>([
  ['no issuer', ['--set=issuer='], /issuer/],
  ['an issuer in the clear', ['--set=issuer=http://tokens.example.com/'], /issuer/],
  ['an issuer without its slash', ['--set=issuer=https://tokens.example.com'], /issuer/],
  ['no Vault', ['--set=vault.address='], /vault\/address/],
  ['a misspelt value', ['--set=replica=3'], /'replica' not allowed/],
  ['a misspelt value within', ['--set=vault.auth.methd=jwt'], /'methd' not allowed/],
  ['an identity that the broker has not', ['--set=vault.auth.method=token'], /vault\/auth\/method/],
  ['AppRole without its role_id', ['--set=vault.auth.method=approle'], /approle/],
  ['an Ingress to nowhere', ['--set=ingress.enabled=true'], /ingress\/hosts/],
  ['no replica', ['--set=replicas=0'], /replicas/],
  ['a secret among the settings', ['--set=settings.POSTERN_SECRET_ID=x'], /POSTERN_SECRET_ID/],
  ['a setting that the chart sets', ['--set=settings.POSTERN_LISTEN=x'], /POSTERN_LISTEN/],
  ['a proxy that is no address', ['--set=trustedProxies={proxy.example.com}'], /trustedProxies/],
  ['a digest that is none', ['--set=image.digest=latest'], /image\/digest/],
])('%s is refused, and the message names it', async (_what, more, says) => {
  await expect(render('defaults', more)).rejects.toThrow(says);
});

test('the version is that of the package', async () => {
  const chart = await readFile(join(CHART, 'Chart.yaml'), 'utf8');
  const version = await packageVersion();
  expect(chart).toContain(`\nversion: ${version}\n`);
  expect(chart).toContain(`\nappVersion: ${version}\n`);
});

test('what is checked in for whoever has no Helm is what the chart makes of its defaults', async () => {
  const made = await render('defaults');
  if (process.env['POSTERN_RENDER'] === '1') await writeFile(RENDERED, made);
  expect(await readFile(RENDERED, 'utf8')).toBe(made);
});

test('the examples for a customer’s workload are objects that Kubernetes takes', async () => {
  const folder = join(checkout, 'deploy/helm/examples');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.yaml'));
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const file of files) {
    const all = parseAllDocuments(await readFile(join(folder, file), 'utf8')).map((document) => document.toJS() as KubernetesObject);
    const own = all.filter(({ apiVersion }) => !apiVersion.includes('external-secrets.io'));
    expect(
      own.flatMap((one) => schemas.faults(one)),
      file,
    ).toEqual([]);
  }
});
