import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { decodeJwt } from 'jose';
import { OAuth2Server } from 'oauth2-mock-server';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import type { Certificates } from '#test/conformance/certificate.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica, TrustVariables } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { checkout } from '#tools/part/version.ts';

/*
 * examples/keyless, each as its platform would run it, with the trust that it comes with. The issuers are oauth2-mock-server with the
 * claims that the platforms document; only their addresses are of this machine.
 */

type Claims = Record<string, unknown>;

interface Platform {
  /** As the platform documents them; `iss`, `iat`, `exp` come with the token. */
  readonly claims: Claims;
  /** Of another customer's workload at the same issuer. */
  readonly foreign: Claims;
  readonly alg?: string;
  /** Where its issuer's address goes on after the host. */
  readonly path?: string;
}

const ACME = 'https://tokens.example.com/acme';
const AWS = 'https://sts.amazonaws.com/';

const PLATFORMS: Readonly<Record<string, Platform>> = {
  'github-actions': {
    claims: {
      jti: 'unique',
      sub: 'repo:acme/app:ref:refs/heads/main',
      aud: ACME,
      ref: 'refs/heads/main',
      ref_type: 'branch',
      ref_protected: 'true',
      sha: '1f3c',
      repository: 'acme/app',
      repository_id: '74',
      repository_owner: 'acme',
      repository_owner_id: '65',
      repository_visibility: 'private',
      actor: 'olivia',
      actor_id: '12',
      event_name: 'push',
      job_workflow_ref: 'acme/app/.github/workflows/export.yml@refs/heads/main',
      run_id: '123',
      run_attempt: '2',
      runner_environment: 'github-hosted',
    },
    // Its name was given up and registered anew.
    foreign: { repository_id: '9000', repository_owner_id: '9001' },
  },
  gitlab: {
    claims: {
      jti: 'unique',
      sub: 'project_path:acme/app:ref_type:branch:ref:main',
      aud: ACME,
      namespace_id: '72',
      namespace_path: 'acme',
      project_id: '22',
      project_path: 'acme/app',
      user_login: 'olivia',
      pipeline_source: 'push',
      job_id: '302',
      ref: 'main',
      ref_type: 'branch',
      ref_protected: 'true',
      ref_path: 'refs/heads/main',
      runner_environment: 'gitlab-hosted',
    },
    // Anybody who may push a branch.
    foreign: { sub: 'project_path:acme/app:ref_type:branch:ref:mine', ref: 'mine', ref_protected: 'false' },
  },
  kubernetes: {
    claims: {
      jti: 'unique',
      sub: 'system:serviceaccount:jobs:nightly',
      aud: [ACME],
      'kubernetes.io': {
        namespace: 'jobs',
        node: { name: 'node-1', uid: '1a' },
        pod: { name: 'nightly-1', uid: '2b' },
        serviceaccount: { name: 'nightly', uid: '7a1f4c7e-3a4f-4c0e-9a6e-0d7b7a8f6c11' },
      },
    },
    // Deleted and made again by somebody else.
    foreign: { 'kubernetes.io': { namespace: 'jobs', serviceaccount: { name: 'nightly', uid: 'other' } } },
  },
  aws: {
    alg: 'ES384',
    claims: {
      jti: 'unique',
      sub: 'arn:aws:iam::123456789012:role/export',
      aud: ACME,
      [AWS]: { aws_account: '123456789012', source_region: 'eu-central-1', org_id: 'o-abc1234567', principal_tags: { team: 'export' } },
    },
    foreign: { sub: 'arn:aws:iam::123456789012:role/export-evil' },
  },
  gcp: {
    claims: {
      sub: '107517467455664443765',
      aud: ACME,
      azp: '107517467455664443765',
      email: 'export@acme-prod.iam.gserviceaccount.com',
      email_verified: true,
      google: { compute_engine: { project_id: 'acme-prod', project_number: 739419398126, instance_name: 'export-1', zone: 'us-west1-a' } },
    },
    foreign: { sub: '107517467455664443766', azp: '107517467455664443766' },
  },
  azure: {
    path: '/9122040d-6c67-4c5b-b112-36a304b66dad/',
    claims: {
      aud: 'api://postern',
      sub: 'c3f6d1c0-2f4b-4d1a-9f0e-6f6f0b1c2d3e',
      oid: 'c3f6d1c0-2f4b-4d1a-9f0e-6f6f0b1c2d3e',
      tid: '9122040d-6c67-4c5b-b112-36a304b66dad',
      appid: '5e29463d-71da-4fe0-8e69-999b57db23b0',
      appidacr: '2',
      idp: 'https://sts.windows.net/9122040d-6c67-4c5b-b112-36a304b66dad/',
      uti: 'x',
      ver: '1.0',
    },
    foreign: { sub: '00000000-2f4b-4d1a-9f0e-6f6f0b1c2d3e', appid: '00000000-71da-4fe0-8e69-999b57db23b0' },
  },
  spiffe: {
    alg: 'ES256',
    claims: { sub: 'spiffe://acme.example.com/ns/jobs/sa/export', aud: [ACME] },
    foreign: { sub: 'spiffe://acme.example.com/ns/jobs-evil/sa/export' },
  },
};

const at = (path: string): string => join(checkout, 'examples/keyless', path);

let house: House;
let replica: LocalReplica;
let certificates: Certificates;
let folder: string;
let cloud: Server;
let cloudPort = 0;
/** What the platform gives next. */
let identity = '';
const issuers: Record<string, OAuth2Server> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-keyless-'));
  certificates = await makeCertificates();
  const caPem = await readFile(certificates.caFile, 'utf8');
  const trusts: Record<string, TrustVariables> = {};
  const sources: Record<string, { ca_pem: string }> = {};
  for (const [name, { alg = 'RS256', path = '' }] of Object.entries(PLATFORMS)) {
    const server = new OAuth2Server(certificates.keyFile, certificates.certFile, {
      endpoints: { wellKnownDocument: `${path.replace(/\/$/, '')}/.well-known/openid-configuration` },
    });
    await server.issuer.keys.generate(alg);
    if (path !== '')
      server.service.addRoute(
        'GET',
        `${path}jwks`,
        (_request, response) => void response.end(JSON.stringify({ keys: server.issuer.keys.toJSON() })),
      );
    await server.start(0, 'localhost');
    server.issuer.url = `https://localhost:${server.address().port}${path}`;
    issuers[name] = server;
    const trust = JSON.parse(await readFile(at(`${name}/trust.json`), 'utf8')) as TrustVariables;
    expect(trust.issuer).toMatch(/^https:/);
    trusts[name] = { ...trust, issuer: server.issuer.url };
    sources[server.issuer.url] = { ca_pem: caPem };
  }
  cloud = createServer(({ url = '', headers }, response) => {
    const { pathname, searchParams: query } = new URL(url, 'http://cloud');
    const github = pathname === '/idtoken' && headers.authorization === 'Bearer runner-token' && query.get('audience') === ACME;
    const google = pathname.endsWith('/default/identity') && headers['metadata-flavor'] === 'Google' && query.get('audience') === ACME;
    const azure =
      pathname === '/metadata/identity/oauth2/token' && headers['metadata'] === 'true' && query.get('resource') === 'api://postern';
    if (google) return void response.end(identity);
    if (github && query.get('api-version') === '2.0') return void response.end(JSON.stringify({ count: 1, value: identity }));
    if (azure) return void response.end(JSON.stringify({ access_token: identity, token_type: 'Bearer' }));
    response.writeHead(400).end();
  });
  await new Promise<void>((resolve) => void cloud.listen(0, '127.0.0.1', resolve));
  cloudPort = (cloud.address() as AddressInfo).port;
  // Each program that a script starts is noted with its arguments; the clouds' own are played.
  for (const [name, last] of [
    ['curl', 'PATH=${PATH#*:}; exec curl "$@"'],
    ['aws', 'cat "$IDENTITY_FILE"'],
    ['spire-agent', 'printf \'[{"svids":[{"spiffe_id":"x","svid":"%s"}]}]\' "$(cat "$IDENTITY_FILE")"'],
  ] as const) {
    await writeFile(join(folder, name), `#!/bin/bash\nprintf '%s\\n' "${name} $*" >> "$STARTED"\n${last}\n`);
    await chmod(join(folder, name), 0o755);
  }
  house = await startHouse({ tenants: { acme: { ...TENANTS.acme, trusts, issuers: sources } }, vault: { reachHost: true } });
  replica = await house.startReplica({ env: { POSTERN_TRUST_PRIVATE_HOSTS: 'localhost' } });
}, 180_000);
afterAll(async () => {
  await house?.stop();
  await Promise.all(Object.values(issuers).map((server) => server.stop()));
  cloud?.close();
  await certificates?.[Symbol.asyncDispose]();
  if (folder) await rm(folder, { recursive: true, force: true });
});

async function tokenOf(name: string, more: Claims = {}): Promise<string> {
  const { claims } = PLATFORMS[name]!;
  const server = issuers[name]!;
  const jwt = await server.issuer.buildToken({
    expiresIn: 300,
    scopesOrTransform: (_header, payload) => {
      Object.assign(payload, { nbf: undefined }, claims, 'jti' in claims ? { jti: crypto.randomUUID() } : {}, more);
    },
  });
  registerSecret('identity token', jwt);
  return jwt;
}

/** The commands, as they stand in the example. */
async function commandsOf(name: string): Promise<string> {
  const text = (file: string): Promise<string> => readFile(at(`${name}/${file}`), 'utf8');
  switch (name) {
    case 'github-actions': {
      const { runs } = parse(await text('action.yml')) as { runs: { steps: { run: string }[] } };
      return runs.steps[0]!.run;
    }
    case 'gitlab': {
      const { export: job } = parse(await text('.gitlab-ci.yml')) as { export: { script: string[] } };
      return `${job.script[0]}\nprintf '%s' "$token"`;
    }
    case 'kubernetes': {
      const { spec } = parse(await text('pod.yaml')) as { spec: { containers: { command: string[] }[] } };
      return spec.containers[0]!.command.at(-1)!.replace('/var/run/secrets/postern/token', '"$IDENTITY_FILE"');
    }
    default:
      return `${at(`${name}/identity.sh`)} | ./token.sh`;
  }
}

async function run(name: string, jwt: string): Promise<{ code: number | undefined; said: string; token: string; started: string }> {
  identity = jwt;
  const [started, output, file] = ['started', 'output', 'identity'].map((one) => join(folder, one)) as [string, string, string];
  await Promise.all([writeFile(started, ''), writeFile(output, ''), writeFile(file, jwt)]);
  const ran = await execa('bash', ['-euo', 'pipefail', '-c', await commandsOf(name)], {
    cwd: at('.'),
    reject: false,
    // Not a socket: bash would take itself for a remote shell's.
    stdin: 'ignore',
    extendEnv: false,
    env: {
      PATH: `${folder}:${process.env['PATH']}`,
      STARTED: started,
      IDENTITY_FILE: file,
      POSTERN_ISSUER: replica.issuer,
      POSTERN_AUDIENCE: APIS.orders.audience,
      POSTERN_SCOPE: 'read:orders',
      IDENTITY_AUDIENCE: ACME,
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${cloudPort}/idtoken?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner-token',
      GITHUB_ACTION_PATH: at('github-actions'),
      GITHUB_OUTPUT: output,
      POSTERN_IDENTITY: jwt,
      GCE_METADATA_HOST: `127.0.0.1:${cloudPort}`,
      AZURE_METADATA_HOST: `127.0.0.1:${cloudPort}`,
    },
  });
  const given = await readFile(output, 'utf8');
  const token = name === 'github-actions' ? (/^token=(.+)\n$/.exec(given)?.[1] ?? '') : ran.stdout.trim();
  if (token !== '') registerSecret('access token', token);
  const said = name === 'github-actions' ? `${ran.stdout}\n${ran.stderr}` : ran.stderr;
  return { code: ran.exitCode, said, token, started: await readFile(started, 'utf8') };
}

describe.each(Object.keys(PLATFORMS))('%s', (name) => {
  test('gets a token of its tenant by what the platform gives it, and nothing secret is an argument or said', async () => {
    const jwt = await tokenOf(name);
    const { code, said, token, started } = await run(name, jwt);
    expect(code, said.replaceAll(jwt, '…')).toBe(0);
    expect(decodeJwt(token)).toMatchObject({ 'https://postern.dev/tenant': 'acme', scope: 'read:orders' });
    expect(started).toMatch(/^curl /m);
    for (const secret of [jwt, token, 'runner-token']) expect(started.includes(secret)).toBe(false);
    // What the runner masks from then on, before anything else is said of it.
    expect(said.trim().split('\n')).toEqual(name === 'github-actions' ? [`::add-mask::${jwt}`, `::add-mask::${token}`] : ['']);
  });

  test("another customer's workload of the same platform gets nothing, and learns nothing", async () => {
    const { code, said, token } = await run(name, await tokenOf(name, PLATFORMS[name]!.foreign));
    expect(code).not.toBe(0);
    expect(token).toBe('');
    expect(said).toContain('The token is not trusted');
  });
});
