import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exchange } from '#test/fixture/broker.ts';
import type { Credential, LocalReplica } from '#test/fixture/broker.ts';
import { APIS, UNKNOWN_AUDIENCE, startStage } from './stage.ts';
import type { Stage } from './stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Case {
  fault: string;
  parameters?: Record<string, string>;
  credential?: Partial<Credential>;
  status: number;
  /** Byte for byte; `<id>` stands for the client_id. */
  body: string;
}

const UNAUTHORIZED = '{"error":"access_denied","error_description":"Unauthorized"}';

/** As Auth0 says it, by public threads (see the facts): clients and people's log filters look for these words. */
const asAuth0: Case[] = [
  { fault: 'wrong secret', credential: { client_secret: 'wrong-secret' }, status: 401, body: UNAUTHORIZED },
  { fault: 'unknown client', credential: { client_id: '00000000-0000-0000-0000-000000000000' }, status: 401, body: UNAUTHORIZED },
  { fault: 'an impossible client_id', credential: { client_id: 'no such client' }, status: 401, body: UNAUTHORIZED },
  { fault: 'no secret', credential: { client_secret: '' }, status: 401, body: UNAUTHORIZED },
  {
    fault: 'no audience',
    parameters: {},
    status: 403,
    body: '{"error":"access_denied","error_description":"No audience parameter was provided, and no default audience has been configured"}',
  },
  {
    fault: 'unknown API',
    parameters: { audience: UNKNOWN_AUDIENCE },
    status: 403,
    body: `{"error":"access_denied","error_description":"Service not enabled within domain: ${UNKNOWN_AUDIENCE}"}`,
  },
];

/** Where the broker says something else than Auth0, on purpose. */
const byTheBook: Case[] = [
  // Auth0 speaks of its "client-grant", which here is the tenant's grant.
  {
    fault: 'no grant for the API',
    parameters: { audience: APIS.payroll.audience },
    status: 403,
    body:
      `{"error":"access_denied","error_description":"Client \\"<id>\\" is not authorized to access resource ` +
      `server \\"${APIS.payroll.audience}\\". It needs a grant for this API."}`,
  },
  // Auth0's words under RFC 6749's code and status; Auth0 says 403 access_denied.
  {
    fault: 'scope not granted',
    parameters: { audience: APIS.reports.audience, scope: 'read:reports drop:reports burn:reports' },
    status: 400,
    body: '{"error":"invalid_scope","error_description":"Client has not been granted scopes: burn:reports, drop:reports"}',
  },
];

const run = async (
  { parameters = { audience: APIS.reports.audience }, credential }: Case,
  replica: LocalReplica = stage.replica,
  issuedTo = stage.acme,
) => {
  const reply = await exchange(replica, { ...issuedTo, ...credential }, parameters, { caFile: stage.caFile });
  return { ...reply, text: reply.text.replaceAll(issuedTo.client_id, '<id>') };
};

describe.each([
  ['as Auth0 says it', asAuth0],
  ['by RFC 6749 where Auth0 departs from it', byTheBook],
])('refusals, byte for byte, %s', (_, cases) => {
  it.each(cases)('$fault: $status', async (refusal) => {
    const reply = await run(refusal);
    expect(reply.text).toBe(refusal.body);
    expect(reply.status).toBe(refusal.status);
    expect(reply.headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' });
  });
});

it('words a wrong credential by RFC 6749 where that is set', async () => {
  const replica = await stage.house.startReplica({ env: { POSTERN_ERROR_DIALECT: 'rfc6749' } });
  for (const refusal of asAuth0.filter(({ status }) => status === 401)) {
    const reply = await exchange(replica, { ...stage.acme, ...refusal.credential }, { audience: APIS.reports.audience });
    expect({ fault: refusal.fault, status: reply.status, text: reply.text }).toEqual({
      fault: refusal.fault,
      status: 401,
      text: '{"error":"invalid_client","error_description":"Unauthorized"}',
    });
  }
});

it('says "too many" like Auth0 to who guesses too often, the same to an unknown client, and when to come back', async () => {
  const guess = async (client_id: string) => {
    const said: string[] = [];
    for (let i = 0; i < 12; i += 1) {
      const { status, text, headers } = await exchange(
        stage.replica,
        { client_id, client_secret: `guess-${i}` },
        { audience: APIS.reports.audience },
        { caFile: stage.caFile },
      );
      if (status === 429) expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      said.push(`${status} ${text}`);
    }
    return said;
  };
  const unknown = await guess('11111111-2222-3333-4444-555555555555');
  expect(unknown[0]).toBe(`401 ${UNAUTHORIZED}`);
  expect(unknown.at(-1)).toBe('429 {"error":"too_many_requests","error_description":"Too many wrong credentials, try again later"}');
  // A client that exists, with nobody's guesses counted against it yet.
  const { roleIds } = stage.house;
  expect(await guess(roleIds['globex'] ?? '')).toEqual(unknown);
});
