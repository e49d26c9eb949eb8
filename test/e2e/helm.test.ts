import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '#broker/config.ts';
import { schema } from '#broker/config-schema.ts';
import { checkout, packageVersion } from '#tools/part/version.ts';
import { commandsOf } from '#test/fixture/documentation.ts';
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
  const { failed, stdout, stderr } = await run(['template', 'postern', '.', '--namespace=tokens', `--values=${valuesOf(set)}`, ...more]);
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
    const { exitCode, all } = await execa(helm, ['lint', '.', '--strict', `--values=${valuesOf(set)}`], {
      cwd: CHART,
      reject: false,
      all: true,
    });
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
    // Files are mounted where they are read; nothing else is wrong with it.
    const faults = (() => {
      try {
        return readConfig(env).unknown.join();
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(faults.split('\n').filter((line) => line.startsWith('  ') && !line.endsWith('cannot be read (ENOENT)'))).toEqual([]);
    const known = new Set([...Object.keys(schema.shape), 'VAULT_ADDR', 'VAULT_NAMESPACE', 'VAULT_CACERT', 'HTTPS_PROXY']);
    expect(Object.keys(env).filter((name) => !known.has(name))).toEqual([]);
    expect(JSON.stringify(all)).not.toMatch(/"POSTERN_(SECRET_ID|WRAPPED_SECRET_ID)"/);
  });
});

test('Prometheus asks a service of each pod, at the port at which the broker tells metrics, and the cluster alone may', async () => {
  const all = await objects('everything');
  const { selector, endpoints } = only(all, 'ServiceMonitor').spec!;
  const fitting = all.filter(
    ({ kind, metadata }) =>
      kind === 'Service' && Object.entries(selector.matchLabels).every(([name, value]) => metadata.labels?.[name] === value),
  );
  expect(fitting.map(({ metadata, spec }) => [metadata.name, spec!['clusterIP']])).toEqual([['postern-metrics', 'None']]);
  expect(endpoints).toMatchObject([{ port: 'metrics', path: '/metrics', scheme: 'http' }]);
  const [{ name, targetPort }] = fitting[0]!.spec!['ports'];
  expect(name).toBe('metrics');
  const port = podOf(all).containers[0].ports.find((one: { name: string }) => one.name === targetPort);
  expect(envOf(all)['POSTERN_METRICS_LISTEN']).toMatch(new RegExp(`:${port.containerPort}$`));
  expect(only(all, 'NetworkPolicy').spec!['ingress']).toContainEqual({
    ports: [{ port: 'metrics', protocol: 'TCP' }],
    from: [{ namespaceSelector: {} }],
  });
  expect(Object.keys(envOf(await objects('defaults')))).not.toContain('POSTERN_METRICS_LISTEN');
});

test('rules and dashboards are those of deploy/observability, and the job that they want is the one that is scraped', async () => {
  const all = await objects('everything');
  const observability = join(checkout, 'deploy/observability');
  const rules = only(all, 'PrometheusRule');
  expect(rules.spec).toEqual(parse(await readFile(join(observability, 'alerts.yaml'), 'utf8')));
  expect(rules.metadata.labels).toMatchObject({ release: 'prometheus' });
  const { jobLabel, selector } = only(all, 'ServiceMonitor').spec!;
  expect(selector.matchLabels[jobLabel]).toBe('postern');
  expect(JSON.stringify(rules.spec)).toContain('up{job=\\"postern\\"}');
  const maps = all.filter(({ kind }) => kind === 'ConfigMap');
  const files = (await readdir(join(observability, 'dashboards'))).sort();
  expect(maps.map(({ metadata }) => metadata.name).sort()).toEqual(files.map((file) => `postern-dashboard-${file.replace('.json', '')}`));
  for (const { metadata, data } of maps) {
    expect(metadata).toMatchObject({ labels: { grafana_dashboard: '1' }, annotations: { grafana_folder: 'Postern' } });
    const [[name, text] = ['', '']] = Object.entries(data as Record<string, string>);
    expect(text).toBe(await readFile(join(observability, 'dashboards', name.replace(/^postern-/, '')), 'utf8'));
  }
  const packed = await mkdtemp(join(tmpdir(), 'postern-chart-'));
  try {
    await execa(helm, ['package', '.', `--destination=${packed}`], { cwd: CHART, stdin: 'ignore' });
    const { stdout } = await execa('tar', ['-tzf', join(packed, `postern-${await packageVersion()}.tgz`)]);
    expect(stdout.split('\n').filter((line) => line.includes('/files/'))).toHaveLength(files.length + 1);
  } finally {
    await rm(packed, { recursive: true });
  }
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
  expect(envOf(all)).toMatchObject({ POSTERN_LISTEN: '[::]:8080', POSTERN_ADMIN_LISTEN: '[::]:8081' });
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
  const { rules } = only(all, 'Ingress').spec!;
  expect(rules.map(({ host }: { host: string }) => host)).toEqual(['example.com', 'www.example.com']);
  // The issuer's path and nothing beside it, but for the place that RFC 8414 §3.1 gives its metadata.
  expect(rules[1].http.paths.map(({ path }: { path: string }) => path)).toEqual([
    '/tokens',
    '/.well-known/oauth-authorization-server/tokens',
    '/.well-known/openid-configuration/tokens',
  ]);
  // Numbers as they were written, however large.
  expect(envOf(all)).toMatchObject({ POSTERN_CACHE_TOKENS: '2000000', POSTERN_MIN_REMAINING: '0.5' });
});

const portsOf = (all: KubernetesObject[]): number[] =>
  only(all, 'NetworkPolicy').spec!['egress'].flatMap(({ ports }: { ports: { port: number }[] }) => ports.map(({ port }) => port));

test.each<[string, string[], number[]]>([
  ['Vault’s own', [], [53, 53, 443, 8200]],
  ['the one of https', ['--set=vault.address=https://vault.example.com'], [53, 53, 443]],
  ['another one', ['--set=vault.address=https://vault.example.com:9443/'], [53, 53, 443, 9443]],
  ['the one of http', ['--set=vault.address=http://vault.vault'], [53, 53, 443, 80]],
  ['one behind an IPv6 address', ['--set=vault.address=https://[fd00::1]:8300'], [53, 53, 443, 8300]],
  ['none behind an IPv6 address', ['--set=vault.address=https://[fd00::1]'], [53, 53, 443]],
  ['what was told', ['--set=vault.address=https://vault.vault', '--set=networkPolicy.egressPorts={8200,8443}'], [53, 53, 443, 8200, 8443]],
  [
    'proxies',
    ['--set-string=settings.HTTPS_PROXY=http://proxy:3128', '--set=settings.POSTERN_VAULT_PROXY=http://p'],
    [53, 53, 443, 8200, 80, 3128],
  ],
  ['a syslog receiver', ['--set-string=settings.POSTERN_AUDIT_SYSLOG=tls://siem.example.com:6514'], [53, 53, 443, 8200, 6514]],
  ['Auth0’s stand-in', ['--set=auth0.issuer=https://auth0.example.com:9000/'], [53, 53, 443, 8200, 9000]],
])('the network policy lets brokers out to the ports of what they ask: %s', async (_what, more, ports) => {
  const all = await objects('defaults', more);
  expect(portsOf(all)).toEqual(ports);
  expect(schemas.faults(only(all, 'NetworkPolicy'))).toEqual([]);
});

test('an AppRole at another mount, and settings from a Secret', async () => {
  const all = await objects('approle');
  expect(envOf(all)).toMatchObject({ POSTERN_VAULT_AUTH: 'approle', POSTERN_BROKER_APPROLE_MOUNT: 'approle-eu' });
  expect(podOf(all).containers[0].envFrom).toEqual([{ secretRef: { name: 'postern-proxy' } }]);
  expect(portsOf(all)).toEqual([53, 53, 443, 8443, 8200]);
});

test('every name that the chart gives a container is refused among the settings', async () => {
  const given = new Set<string>();
  for (const [set, more] of [
    ['defaults', []],
    ['everything', []],
    ['everything', ['--set=vault.auth.method=kubernetes', '--set=admin.tlsSecret=', '--set=admin.behindTlsProxy=true']],
    ['approle', ['--set=trustedProxies={10.0.0.0/8}']],
  ] as const)
    for (const name of Object.keys(envOf(await objects(set, [...more])))) given.add(name);
  const own = [
    'POSTERN_LOG_LEVEL',
    'POSTERN_VERIFY_TTL',
    'POSTERN_FORWARD_CLIENT_ADDRESS',
    'POSTERN_CACHE_TOKENS',
    'POSTERN_MIN_REMAINING',
  ];
  // Each file that the broker can be told of has its value here, or is refused.
  for (const name of Object.keys(schema.shape).filter((one) => one.endsWith('_FILE'))) given.add(name);
  const names = [...given].filter((name) => name.startsWith('POSTERN_') && !own.includes(name));
  expect(names.length).toBeGreaterThanOrEqual(20);
  const { failed, stderr } = await run([
    'template',
    '.',
    `--values=${valuesOf('defaults')}`,
    ...names.map((name) => `--set-string=settings.${name}=x`),
  ]);
  expect(failed).toBe(true);
  expect(names.filter((name) => !new RegExp(`^settings\\.${name}: `, 'm').test(stderr))).toEqual([]);
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
  [
    'a secret among the settings',
    ['--set=settings.POSTERN_SECRET_ID=x'],
    /settings\.POSTERN_SECRET_ID: it is a secret, set vault\.auth\.approle/,
  ],
  ['a wrapped one', ['--set=settings.POSTERN_WRAPPED_SECRET_ID=x'], /settings\.POSTERN_WRAPPED_SECRET_ID: it is a secret/],
  ['a setting that the chart sets', ['--set=settings.POSTERN_LISTEN=x'], /settings\.POSTERN_LISTEN: /],
  [
    'one that it sets for another identity',
    ['--set=settings.POSTERN_BROKER_JWT_MOUNT=x'],
    /settings\.POSTERN_BROKER_JWT_MOUNT: set vault\.auth\.mount/,
  ],
  ['a setting that is none', ['--set=settings.PATH=x'], /settings\.PATH: /],
  ['a proxy’s password', ['--set-string=settings.HTTPS_PROXY=http://u:p@proxy:3128'], /settings\.HTTPS_PROXY: .*settingsSecret/],
  ['the same for Vault', ['--set-string=settings.POSTERN_VAULT_PROXY=http://u@proxy'], /settings\.POSTERN_VAULT_PROXY: .*settingsSecret/],
  ['a password in Vault’s address', ['--set=vault.address=https://u:p@vault.example.com'], /vault\/address/],
  ['a password in the issuer', ['--set=issuer=https://u:p@tokens.example.com/'], /issuer/],
  ['a label by which pods are found', ['--set=podLabels.app\\.kubernetes\\.io/name=x'], /podLabels\.app\.kubernetes\.io\/name: /],
  ['an address of one node', ['--set=listenAddress=10.0.0.1'], /listenAddress/],
  ['two CAs', ['--set=vault.ca.secret=a', '--set=vault.ca.configMap=b'], /vault\.ca: /],
  ['a CA for nothing', ['--set=vault.ca.secret=a', '--set=vault.address=http://vault'], /vault\.ca: /],
  ['an AppRole beside another identity', ['--set=vault.auth.approle.roleId=a'], /vault\.auth\.approle: the method is kubernetes/],
  ['whatever service account', ['--set=serviceAccount.create=false'], /serviceAccount\.name: /],
  ['an admin API in the clear', ['--set=admin.enabled=true'], /admin\.tlsSecret: it must be set/],
  [
    'admin TLS twice',
    ['--set=admin.enabled=true', '--set=admin.tlsSecret=a', '--set=admin.behindTlsProxy=true'],
    /admin\.behindTlsProxy: /,
  ],
  ['an admin API that is off', ['--set=admin.audience=a'], /admin\.enabled: it is off/],
  [
    'an admin audience without Auth0',
    ['--set=admin.enabled=true', '--set=admin.tlsSecret=a', '--set=admin.audience=a'],
    /admin\.audience: /,
  ],
  [
    'a console without audience',
    ['--set=admin.enabled=true', '--set=admin.tlsSecret=a', '--set=admin.consoleClientId=a'],
    /admin\.consoleClientId: /,
  ],
  ['an Ingress that is off', ['--set=ingress.hosts={a.example.com}'], /ingress\.enabled: it is off/],
  [
    'a policy that is off',
    ['--set=networkPolicy.enabled=false', '--set=networkPolicy.egressPorts={1}'],
    /networkPolicy\.enabled: it is off/,
  ],
  ['admin peers without admin', ['--set=networkPolicy.adminFrom[0].podSelector.a=b'], /networkPolicy\.adminFrom: /],
  ['an autoscaler upside down', ['--set=autoscaling.enabled=true', '--set=autoscaling.minReplicas=20'], /autoscaling\.minReplicas: /],
  ['an autoscaler without a measure', ['--set=autoscaling.enabled=true', '--set=resources.requests.cpu=null'], /autoscaling\.targetCPU: /],
  ['one replica that must stay', ['--set=replicas=1'], /podDisruptionBudget\.minAvailable: 1 of 1 /],
  ['all replicas that must stay', ['--set=podDisruptionBudget.minAvailable=100%'], /podDisruptionBudget\.minAvailable: 100% of 2 /],
  ['metrics peers without metrics', ['--set=networkPolicy.metricsFrom[0].podSelector.a=b'], /networkPolicy\.metricsFrom: /],
  ['rules without metrics', ['--set=metrics.rules.enabled=true'], /metrics\.rules: set metrics\.serviceMonitor\.enabled/],
  ['dashboards without metrics', ['--set=metrics.dashboards.enabled=true'], /metrics\.dashboards: set metrics\./],
  ['a host that is none', ['--set=ingress.enabled=true', '--set=ingress.hosts={https://a.example.com}'], /ingress\/hosts/],
  ['a proxy that is no address', ['--set=trustedProxies={proxy.example.com}'], /trustedProxies/],
  ['a range that is none', ['--set=trustedProxies={10.0.0.0/33}'], /trustedProxies/],
  ['an address that is none', ['--set=trustedProxies={10.0.0.256}'], /trustedProxies/],
  ['a range of IPv6 that is none', ['--set=trustedProxies={fd00::/129}'], /trustedProxies/],
  ['a tag that is none', ['--set=image.tag=a b'], /image\/tag/],
  ['a file for the audit', ['--set=settings.POSTERN_AUDIT_FILE=/var/log/audit'], /settings\.POSTERN_AUDIT_FILE: .*read-only/],
  ['a file for the log', ['--set=settings.POSTERN_LOG_FILE=/var/log/postern'], /settings\.POSTERN_LOG_FILE: .*read-only/],
  [
    'a list of proxies in a file',
    ['--set=settings.POSTERN_TRUSTED_PROXIES_FILE=/x'],
    /settings\.POSTERN_TRUSTED_PROXIES_FILE: .*trustedProxies/,
  ],
  [
    'a secret in a file that is not mounted',
    ['--set=settings.POSTERN_LOG_STREAM_SECRET_FILE=/x'],
    /settings\.POSTERN_LOG_STREAM_SECRET_FILE: set logStream/,
  ],
  ['a socket of the node', ['--set=settings.POSTERN_AUDIT_SYSLOG=unix:///dev/log'], /settings\.POSTERN_AUDIT_SYSLOG: /],
  ['a digest that is none', ['--set=image.digest=latest'], /image\/digest/],
])('%s is refused, and the message names it', async (_what, more, says) => {
  await expect(render('defaults', more)).rejects.toThrow(says);
});

test('all that is wrong is told at once', async () => {
  const told = render('defaults', ['--set=replicas=1', '--set=admin.enabled=true', '--set=settings.POSTERN_LISTEN=x']);
  await expect(told).rejects.toThrow(/settings\.POSTERN_LISTEN: [\s\S]*admin\.tlsSecret: [\s\S]*podDisruptionBudget\.minAvailable: /);
});

/** What `helm install` prints at its end, which needs a cluster: the same text as an object. */
async function notes(set: string, more: string[] = []): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'postern-chart-'));
  try {
    await cp(CHART, scratch, { recursive: true });
    const text = await readFile(join(CHART, 'templates/NOTES.txt'), 'utf8');
    await writeFile(join(scratch, 'templates/_trial.tpl'), `{{- define "trial" -}}\n${text}\n{{- end -}}`);
    await writeFile(join(scratch, 'templates/trial.yaml'), 'notes: {{ include "trial" . | toJson }}\n');
    const args = ['template', 'postern', scratch, '--namespace=tokens', `--values=${valuesOf(set)}`, '--show-only=templates/trial.yaml'];
    const { stdout } = await execa(helm, [...args, ...more], { stdin: 'ignore' });
    return (parseAllDocuments(stdout)[0]!.toJS() as { notes: string }).notes;
  } finally {
    await rm(scratch, { recursive: true });
  }
}

test('the notes say what Vault must know, and what will not do', async () => {
  const plain = await notes('defaults');
  expect(plain).toContain('auth/kubernetes-broker');
  expect(plain).toMatch(/service_accounts = \["postern"\]\s+namespaces += \["tokens"\]\s+audience += "vault"/);
  expect(plain).toContain('curl https://tokens.example.com/readyz');
  expect(plain).not.toContain('WARNING');
  expect(await notes('everything')).toMatch(/subject += "system:serviceaccount:tokens:broker"[\s\S]*tls\.secret/);
  expect(await notes('approle')).toMatch(
    /auth\/approle-eu\/role\/broker\/secret-id[\s\S]*create secret generic postern-approle --from-file=secret_id=/,
  );
  const bare = await notes('defaults', [
    '--set=ingress.enabled=true',
    '--set=ingress.hosts={a.example.com}',
    '--set=vault.address=http://v',
  ]);
  expect(bare.match(/^WARNING: .*?(trustedProxies|issuer's host|http)/gm)).toHaveLength(3);
});

test('docs/kubernetes.md: its values are good, and its commands do what it says without a cluster', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'postern-kubernetes-'));
  try {
    await cp(join(checkout, 'deploy/helm'), join(scratch, 'deploy/helm'), { recursive: true });
    const document = await readFile(join(checkout, 'docs/kubernetes.md'), 'utf8');
    await writeFile(join(scratch, 'values.yaml'), /^```yaml\n([\s\S]*?)^```/m.exec(document)![1]!);
    const env = { PATH: `${dirname(helm)}:${process.env['PATH']}` };
    const { stdout } = await execa('bash', ['-euc', commandsOf('docs/kubernetes.md', 'helm lint')], { cwd: scratch, env, stdin: 'ignore' });
    const [lint = '', made = ''] = stdout.split(/(?<=0 chart\(s\) failed\n)/);
    expect(lint).toContain('1 chart(s) linted');
    const all = parseAllDocuments(made).flatMap((one) => (one.toJS() as KubernetesObject | null) ?? []);
    expect(all.flatMap((one) => schemas.faults(one))).toEqual([]);
    expect(envOf(all)).toMatchObject({ POSTERN_TRUSTED_PROXIES: '10.244.0.0/16', VAULT_CACERT: '/etc/postern/vault-ca/ca.crt' });
    expect(all.map(({ kind }) => kind)).toContain('Ingress');
  } finally {
    await rm(scratch, { recursive: true });
  }
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
    expect(
      all.flatMap((one) => schemas.faults(one)),
      file,
    ).toEqual([]);
  }
});
