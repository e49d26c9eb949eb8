import { expect, test } from 'vitest';
import { departuresOf } from '#broker/self/log-events.ts';
import { EVERYBODY } from '#broker/credential/owner.ts';

const NOW = Date.parse('2026-11-29T04:00:00.500Z');
const DATE = '2026-11-29T03:00:00.200Z';
const at = Math.ceil(Date.parse(DATE) / 1000);

const sapi = (method: string, path: string, body: unknown = {}, date: unknown = DATE) => ({
  log_id: '900',
  // Who did it, never whom it was done to.
  data: { date, type: 'sapi', user_id: 'auth0|administrator', details: { request: { method, path, body } } },
});

test.each<[string, unknown, unknown[]]>([
  ['deleted', sapi('delete', '/api/v2/users/auth0%7Cu1'), [{ owner: 'auth0|u1', at }]],
  ['deletion succeeded', { data: { date: DATE, type: 'sdu', user_id: 'auth0|u1' } }, [{ owner: 'auth0|u1', at }]],
  ['blocked', sapi('PATCH', '/api/v2/users/google-oauth2%7C1', { blocked: true }), [{ owner: 'google-oauth2|1', at }]],
  ['permissions taken', sapi('delete', '/api/v2/users/auth0|u1/permissions'), [{ owner: 'auth0|u1', at }]],
  ['roles taken', sapi('delete', '/api/v2/users/auth0|u1/roles?x=1'), [{ owner: 'auth0|u1', at }]],
  ['linked', sapi('post', '/api/v2/users/auth0|u1/identities', { provider: 'auth0', user_id: 'u2' }), [{ owner: 'auth0|u2', at }]],
  [
    'removed from an organization',
    sapi('delete', '/api/v2/organizations/org_a1/members', { members: ['auth0|u1', 'auth0|u2', 7] }),
    [
      { owner: 'auth0|u1', organization: 'org_a1', at },
      { owner: 'auth0|u2', organization: 'org_a1', at },
    ],
  ],
  [
    'roles taken in an organization',
    sapi('delete', '/api/v2/organizations/org_a1/members/auth0%7Cu1/roles'),
    [{ owner: 'auth0|u1', organization: 'org_a1', at }],
  ],
  ['organization deleted', sapi('delete', '/api/v2/organizations/org_a1'), [{ owner: EVERYBODY, organization: 'org_a1', at }]],
  [
    'a time to come counts as now',
    sapi('delete', '/api/v2/users/auth0|u1', {}, '2036-01-01T00:00:00Z'),
    [{ owner: 'auth0|u1', at: Math.ceil(NOW / 1000) }],
  ],
  ['no time counts as now', sapi('delete', '/api/v2/users/auth0|u1', {}, 'soon'), [{ owner: 'auth0|u1', at: Math.ceil(NOW / 1000) }]],
  ['unblocked', sapi('patch', '/api/v2/users/auth0|u1', { blocked: false }), []],
  ['renamed', sapi('patch', '/api/v2/users/auth0|u1', { name: 'x' }), []],
  ['read', sapi('get', '/api/v2/users/auth0|u1'), []],
  ['given a permission', sapi('post', '/api/v2/users/auth0|u1/permissions'), []],
  ['invitation withdrawn', sapi('delete', '/api/v2/organizations/org_a1/invitations/uinv_1'), []],
  ['connection taken from an organization', sapi('delete', '/api/v2/organizations/org_a1/enabled_connections/con_1'), []],
  ['sessions ended', sapi('delete', '/api/v2/users/auth0|u1/sessions'), []],
  ['failed', { data: { date: DATE, type: 'fapi', details: { request: { method: 'delete', path: '/api/v2/users/auth0|u1' } } } }, []],
  ['failed deletion', { data: { date: DATE, type: 'fdu', user_id: 'auth0|u1' } }, []],
  ['an application', sapi('delete', '/api/v2/users/x@clients'), []],
  ['a wildcard', sapi('delete', '/api/v2/users/*'), []],
  ['another API', sapi('delete', '/other/v2/users/auth0|u1'), []],
  ['a path that is broken', sapi('delete', '/api/v2/users/auth0%7'), []],
  ['a body that is none', sapi('patch', '/api/v2/users/auth0|u1', 'blocked'), []],
  ['nothing', null, []],
  ['text', 'sdu', []],
  ['an event without data', { log_id: '1' }, []],
])('%s', (_what, event, departures) => {
  expect(departuresOf([event], NOW)).toEqual(departures);
});
