import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { admissionLine, lineOf } from '#broker/audit/admin-event.ts';
import { granted, refused } from '#broker/audit/exchange-event.ts';
import { RationedAudit } from '#broker/audit/rationed-audit.ts';
import { auditSchema } from '#broker/audit/schema.ts';
import { tokenEvent } from '#broker/audit/token-event.ts';
import { failureOf, workLine } from '#broker/audit/work-event.ts';
import { PosternError } from '#broker/error.ts';
import { Token } from '#broker/token/token.ts';
import type { Served } from '#broker/token/cache.ts';
import { grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

const file = JSON.parse(readFileSync(new URL('../../../docs/audit.schema.json', import.meta.url), 'utf8')) as object;
const validate = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false }).compile(file);
const faultsOf = (line: string) => (validate(JSON.parse(line)) ? [] : validate.errors);

const grant = await grantOf({ tenant: tenantOf({ organization: 'org_acme' }) });
const served: Served = { token: new Token('eyJ.canary.sig', 'read:all', 1000, 2000), from: 'source', grant };
const attempt = {
  clientId: 'acme-role-id',
  audience: grant.audience,
  trace: { identity: identityOf({ keyId: 'key_000000000000000000000001' }), grant },
  address: '192.0.2.1',
  requestId: 'request-1',
  startedAt: performance.now(),
};
const presented = { event: 'token.revocation', address: '::1', requestId: 'r', startedAt: 0, clientId: 'x', presented: 'y' } as const;
const unavailable = new PosternError('temporarily_unavailable', 'x');

test("docs/audit.schema.json is what the broker's own definitions say (make generate)", () => {
  expect(file).toEqual(JSON.parse(JSON.stringify(auditSchema())));
});

describe('a line of each kind fits it', () => {
  const summaries: string[] = [];
  const rationed = new RationedAudit({ write: (line) => void summaries.push(line) }, 0);
  rationed.write('', { kind: 'token invalid_client' });
  rationed.write('', { kind: 'verify limit_exceeded', tenant: 'acme' });
  rationed.end();
  const work = { kind: 'refresh', grant, ahead: true, ms: 1.23456 } as const;
  const publication = { kind: 'publication', tenant: 'acme', api: undefined, grant: undefined, ms: 1.23456 } as const;
  test.each([
    ['granted', granted(attempt, served, 42)],
    ['granted while Vault is away', granted({ ...attempt, trace: { identity: identityOf({ unasked: true }) } }, served, 42)],
    ['refused', refused(attempt, unavailable)],
    ['a stranger refused, by a bug', refused({ ...attempt, trace: {}, door: 'verify' }, new TypeError('canary'))],
    [
      'introspection',
      tokenEvent({ ...presented, event: 'token.introspection', trace: { identity: identityOf() } }, { outcome: 'disabled' }),
    ],
    [
      'introspection while Vault is away',
      tokenEvent({ ...presented, trace: { identity: identityOf({ unasked: true }) } }, { outcome: 'active' }),
    ],
    ['revocation refused', tokenEvent({ ...presented, trace: {} }, { error: unavailable })],
    ['refreshed', workLine({ ...work, outcome: 'refreshed', served })],
    ['refresh failed', workLine({ ...work, outcome: 'failed', error: unavailable })],
    ['refresh dropped', workLine({ ...work, outcome: 'dropped' })],
    ['published', workLine({ ...publication, api: 'orders', grant, outcome: 'published', token: served.token })],
    ['withdrawn', workLine({ ...publication, api: 'orders', outcome: 'withdrawn', sha256: served.token.sha256 })],
    ['could not be published', workLine({ ...publication, outcome: 'failed', error: unavailable })],
    ['publisher', workLine({ kind: 'leadership', outcome: 'taken', from: undefined, to: 'b', why: 'nobody' })],
    ['publisher that stops', workLine({ kind: 'leadership', outcome: 'given_up', from: 'b', to: undefined, why: 'stopping' })],
    ['lease', workLine({ kind: 'lease', grant, from: 'a', to: 'b', why: 'unchanged' })],
    [
      'admin',
      lineOf({
        time: new Date().toISOString(),
        request_id: 'r',
        event: 'admin.issueKey',
        outcome: 'done',
        caller: 'olivia',
        by: 'jwt',
        address: '::1',
        ms: 3,
        tenant: 'acme',
        key_id: undefined,
      }),
    ],
    ['admission', admissionLine('self.admission', 'r', '::1', 'invalid-token')[0]],
    ['summary', summaries[0] ?? ''],
    ['summary of a tenant', summaries[1] ?? ''],
  ])('%s', (_kind, line) => {
    expect(faultsOf(line)).toEqual([]);
    expect(line).not.toContain('canary');
  });

  test('only failures are counted in place of lines', () => {
    expect([
      failureOf({ ...work, outcome: 'failed', error: unavailable }),
      failureOf({ ...work, outcome: 'refreshed', served }),
      failureOf({ ...work, outcome: 'dropped' }),
      failureOf({ ...publication, outcome: 'failed', error: unavailable }),
      failureOf({ ...publication, outcome: 'withdrawn' }),
      failureOf({ kind: 'leadership', outcome: 'taken', from: undefined, to: 'b', why: 'nobody' }),
    ]).toEqual([
      { kind: 'token.refresh temporarily_unavailable' },
      undefined,
      undefined,
      { kind: 'token.publication temporarily_unavailable' },
      undefined,
      undefined,
    ]);
  });
});

describe('a line with a fault does not', () => {
  const good = JSON.parse(granted(attempt, served, 42)) as Record<string, unknown>;
  test.each<[string, Record<string, unknown>]>([
    ['no request id', { request_id: undefined }],
    ['an unknown member', { secret: 'x' }],
    ['an unknown outcome', { outcome: 'perhaps' }],
    ['a token where its hash belongs', { token_sha256: 'eyJ.x.y' }],
    ['a key where its id belongs', { key_id: 'postern_live_x' }],
    ['another time', { time: 'yesterday' }],
    ['an unknown event', { event: 'token.gift' }],
  ])('%s', (_fault, over) => {
    expect(faultsOf(JSON.stringify(good))).toEqual([]);
    expect(faultsOf(JSON.stringify({ ...good, ...over }))).not.toEqual([]);
  });
});
