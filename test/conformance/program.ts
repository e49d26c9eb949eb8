import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { APIS, UNKNOWN_AUDIENCE, startStage } from './stage.ts';
import type { ApiName, Stage } from './stage.ts';

/** What a client program in another language reads on its standard input. */
export interface Task {
  token_endpoint: string;
  ca_file: string;
  cases: { name: string; method: string; client_id: string; client_secret: string; audience: string; scope?: string }[];
  tokens: { name: string; token: string; issuer: string; audience: string; scope: string }[];
}

/** What it writes: by the names of the cases, and of the tokens and verifiers. */
export interface Outcome {
  asked: Record<
    string,
    { token?: string; scope?: string; expires_in?: number; error?: string; code?: string; description?: string; status?: number }
  >;
  verified: Record<string, Record<string, { claims?: Record<string, unknown>; error?: string }>>;
}

/** A program that is ready to be run, or why there is none here. */
export type Program = { run(task: Task): Promise<Outcome> } | { missing: string };

export interface ProgramOptions {
  /** The library that asks, for the test's title. */
  client: string;
  /** Finds or makes it. Throws only when it is broken, not when it can't be had. */
  prepare: () => Promise<Program>;
  /** Its names for the ways in which a client says who it is. */
  methods: readonly string[];
  /** Its own class of error for a refusal. */
  errorClass: string;
  /** Whether its error tells the HTTP status. */
  tellsStatus: boolean;
  /** Its verifiers, each with the tokens that it takes. */
  verifiers: Readonly<Record<string, readonly ApiName[]>>;
}

const refusals = [
  {
    fault: 'a wrong secret',
    secret: 'wrong-secret',
    audience: APIS.orders.audience,
    status: 401,
    code: 'access_denied',
    description: 'Unauthorized',
  },
  {
    fault: 'an unknown audience',
    audience: UNKNOWN_AUDIENCE,
    status: 403,
    code: 'access_denied',
    description: `Service not enabled within domain: ${UNKNOWN_AUDIENCE}`,
  },
  { fault: 'an API without a grant', audience: APIS.payroll.audience, status: 403, code: 'access_denied' },
  {
    fault: 'an unknown scope',
    audience: APIS.reports.audience,
    scope: 'drop:reports',
    status: 400,
    code: 'invalid_scope',
    description: 'Client has not been granted scopes: drop:reports',
  },
];
const sources = ['orders', 'reports'] as const;
const tokens = ['orders', 'reports', 'billing', 'stock'] as const satisfies ApiName[];
/** Of the person's key, by the same API. */
const ofPerson = (api: ApiName): string => `of a person for ${api}`;

/** One run of the program, then a test for each thing that it was to do. Skipped, with the reason, where it can't be had. */
export function describeProgram({ client, prepare, methods, errorClass, tellsStatus, verifiers }: ProgramOptions): void {
  let stage: Stage | undefined;
  let outcome: Outcome | undefined;
  let missing = '';
  const done = (context: TestContext): { stage: Stage; outcome: Outcome } => {
    if (!stage || !outcome) return context.skip(missing);
    return { stage, outcome };
  };

  beforeAll(async () => {
    const program = await prepare();
    if ('missing' in program) {
      missing = program.missing;
      // The reporter of a whole run shows no reasons.
      process.stderr.write(`conformance: ${client} is skipped: ${missing}\n`);
      return;
    }
    stage = await startStage();
    outcome = await program.run(await taskFor(stage, methods));
    for (const { token } of Object.values(outcome.asked)) if (token !== undefined) registerSecret('access token', token);
  }, 240_000);
  afterAll(() => stage?.[Symbol.asyncDispose]());

  describe.each(methods)(`${client} by %s`, (method) => {
    it.for(sources)('gets a token for %s', (api, context) => {
      const { stage, outcome } = done(context);
      const asked = outcome.asked[`${method} ${api}`];
      expect(asked).toMatchObject({ token: expect.any(String), scope: APIS[api].scopes.join(' ') });
      expect(asked?.expires_in).toBeGreaterThan(3_000);
      expect(decodeJwt(asked?.token ?? '')).toMatchObject({
        iss: stage.issuerOf(api),
        aud: APIS[api].audience,
        'https://postern.dev/tenant': 'acme',
      });
    });

    it('gets fewer scopes where it asks for fewer', (context) => {
      const { outcome } = done(context);
      const asked = outcome.asked[`${method} narrow`];
      expect(asked?.scope).toBe('read:reports');
      expect(decodeJwt(asked?.token ?? '')['scope']).toBe('read:reports');
    });

    it.for(refusals)('tells $fault as its own error', ({ fault, status, code, description }, context) => {
      const { outcome } = done(context);
      expect(outcome.asked[`${method} ${fault}`]).toMatchObject({
        error: errorClass,
        code,
        description: description ?? expect.any(String),
        ...(tellsStatus ? { status } : {}),
      });
    });
  });

  describe.each(Object.entries(verifiers))('%s', (verifier, takes) => {
    it.for(tokens.filter((api) => takes.includes(api)))('takes the token for %s', (api, context) => {
      const { stage, outcome } = done(context);
      const verdict = outcome.verified[api]?.[verifier];
      expect(verdict?.error).toBeUndefined();
      expect(verdict?.claims).toMatchObject({ iss: stage.issuerOf(api), scope: APIS[api].scopes.join(' ') });
    });

    it.for(tokens.filter((api) => takes.includes(api)))("takes a person's token for %s, and tells whose it is", (api, context) => {
      const { stage, outcome } = done(context);
      const { id, organization, keyId } = stage.person;
      const verdict = outcome.verified[ofPerson(api)]?.[verifier];
      expect(verdict?.error).toBeUndefined();
      expect(verdict?.claims).toMatchObject({
        scope: APIS[api].scopes.join(' '),
        ...(APIS[api].source === 'transit'
          ? { sub: id, org_id: organization, act: { sub: keyId } }
          : { 'https://postern.dev/tenant_owner': id, 'https://postern.dev/tenant_key': keyId }),
      });
    });

    it.for([...tokens.filter((api) => !takes.includes(api)), 'for another API', 'changed'])('refuses the token %s', (name, context) => {
      const { outcome } = done(context);
      const verdict = outcome.verified[name]?.[verifier];
      expect(verdict?.error).toEqual(expect.any(String));
      expect(verdict?.claims).toBeUndefined();
    });
  });
}

async function taskFor(stage: Stage, methods: readonly string[]): Promise<Task> {
  const { acme, person } = stage;
  const credential = { client_id: acme.client_id, client_secret: acme.client_secret };
  const issued = await Promise.all(
    tokens.map(async (api) => ({
      name: api as string,
      token: await stage.tokenFor(api),
      issuer: stage.issuerOf(api),
      audience: APIS[api].audience as string,
      scope: APIS[api].scopes[0] as string,
    })),
  );
  const people = await Promise.all(
    issued.map(async (one) => ({
      ...one,
      name: ofPerson(one.name as ApiName),
      token: await stage.tokenFor(one.name as ApiName, {}, person.credential),
    })),
  );
  const [reports] = issued.filter(({ name }) => name === 'reports');
  if (!reports) throw new Error('no token for reports');
  const [header, payload = '', signature] = reports.token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const forged = Buffer.from(JSON.stringify({ ...claims, 'https://postern.dev/tenant': 'globex' })).toString('base64url');
  return {
    token_endpoint: stage.tokenEndpoint,
    ca_file: stage.caFile,
    cases: methods.flatMap((method) => [
      ...sources.map((api) => ({ name: `${method} ${api}`, method, ...credential, audience: APIS[api].audience })),
      { name: `${method} narrow`, method, ...credential, audience: APIS.reports.audience, scope: 'read:reports' },
      ...refusals.map(({ fault, secret, audience, scope }) => ({
        name: `${method} ${fault}`,
        method,
        ...credential,
        ...(secret === undefined ? {} : { client_secret: secret }),
        audience,
        ...(scope === undefined ? {} : { scope }),
      })),
    ]),
    tokens: [
      ...issued,
      ...people,
      { ...reports, name: 'for another API', audience: APIS.stock.audience },
      { ...reports, name: 'changed', token: `${header}.${forged}.${signature}` },
    ],
  };
}
