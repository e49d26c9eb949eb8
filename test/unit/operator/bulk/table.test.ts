import { describe, expect, test } from 'vitest';
import type { Api } from '#broker/authorization/documents.ts';
import type { TenantRecord } from '#broker/operator/bulk/columns.ts';
import { readRows } from '#broker/operator/bulk/row.ts';
import { csvHeader, csvRow, readTable } from '#broker/operator/bulk/table.ts';

const APIS = new Map([['orders', { name: 'orders', scopes: ['read:orders', 'a;b', 'c,d'] } as unknown as Api]]);

const read = (text: string) => readRows(readTable(Buffer.from(text)).entries, APIS);
const faults = (text: string): string[] => read(text).faults.map(({ at, message }) => `${at}: ${message}`);

describe('a file of tenants', () => {
  test.each([
    ['a byte order mark and CRLF', '\uFEFFtenant,grants\r\nacme,orders=read:orders\r\n'],
    ['semicolons', 'tenant;grants\nacme;orders=read:orders\n'],
    ['tabs', 'tenant\tgrants\nacme\torders=read:orders\n'],
    ['quotes, blanks and blank lines', '\ntenant,grants\n\n" acme ","orders=read:orders"\n,\n'],
    ['JSON', '[{"tenant":"acme","grants":[{"api":"orders","scopes":["read:orders"]}]}]'],
    ['JSON as it is exported', '{"tenants":[{"tenant":"acme","grants":[{"api":"orders","scopes":["read:orders"]}]}]}'],
  ])('is read with %s', (_, text) => {
    const { rows, faults: none } = read(text);
    expect(none).toEqual([]);
    expect(rows.map(({ tenant, spec }) => ({ tenant, spec }))).toEqual([
      { tenant: 'acme', spec: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
    ]);
  });

  test('tells every fault with its line', () => {
    expect(
      faults(
        'tenant,grants,cidrs\nacme,orders=read:orders,\n"multi\nline",,\nacme,,\nACME,,\nb,orders,\nc,,10.0.0.0/99\nd,nothing=x,\ne\nroot,,\n',
      ),
    ).toEqual([
      expect.stringMatching(/^3: .*can't be a tenant's id/),
      expect.stringMatching(/^5: the tenant "acme" stands at 2 already/),
      expect.stringMatching(/^6: the tenant "ACME" stands at 2 already/),
      expect.stringMatching(/^6: "ACME" can't be a tenant's id.*"acme"/),
      expect.stringMatching(/^7: grants: "orders" is no grant/),
      expect.stringMatching(/^8: [^]*"10.0.0.0\/99" is not a block/),
      expect.stringMatching(/^9: [^]*no API "nothing"/),
      expect.stringMatching(/^10: it has 1 cells, and there are 3 columns/),
      expect.stringMatching(/^11: "root" is a reserved word/),
    ]);
  });

  test.each([
    ['an unknown column', 'tenant,cidr\na,b\n', /no column "cidr"; do you mean "cidrs"/],
    ['a column twice', 'tenant,tenant\na,b\n', /stands twice/],
    ['no column of ids', 'grants\norders=\n', /no column "tenant"/],
    ['an open quote', 'tenant\n"acme\n', /Line 2 is no CSV: a quote is opened/],
    ['nothing', ' \n', /empty/],
    ['JSON that ends early', '[{"tenant":', /is no JSON/],
    ['no list', '{"tenant":"acme"}', /holds no list/],
  ])('is refused with %s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  test('in another encoding is told as such', () => {
    expect(() => readTable(Buffer.from('\uFEFFtenant\nacme\n', 'utf16le'))).toThrow(/UTF-16/);
    expect(() => readTable(Buffer.from([0x74, 0xe9, 0x0a]))).toThrow(/not UTF-8/);
  });

  test('an unknown field of an entry is told with the nearest name, and a formula is no name of a credential', () => {
    expect(faults('[{"tenant":"a"},{"tenant":"b","defaultApi":"orders"}]')).toEqual([
      '2: there is no field "defaultApi"; do you mean "default_api"?',
    ]);
    expect(faults('tenant,issue,credential\nacme,key,=1+1\n')).toEqual([expect.stringMatching(/^2: credential.*no formula/)]);
  });

  test.each(['csv', 'json'] as const)('as %s is read as it was written', (format) => {
    const record: TenantRecord = {
      tenant: 'acme',
      grants: [{ api: 'orders', scopes: ['a;b', 'c,d', 'read:orders'] }],
      default_api: 'orders',
      introspects: ['orders'],
      organization: 'org_abc',
      claims: { 'https://example.com/plan': '=HYPERLINK("x")', 'https://example.com/n': 3 },
      cidrs: ['10.0.0.0/8', '2001:db8::/32'],
      token_ttl: 60,
      secret_id_ttl: 3600,
      secret_id_num_uses: 0,
      self_service: { max_ttl: 3600, keys_per_user: 2, keys: 9 },
      limits: { per_second: 100, burst: 20, per_minute: 600 },
      quota: { monthly: 500 },
      disabled: true,
      trusts: [{ name: 'ci', issuer: 'https://ci.example.com', audience: 'https://x', subject: 'a "b"', claims: { ref: 'main' } }],
    };
    const text = format === 'csv' ? csvHeader() + csvRow(record) : JSON.stringify({ tenants: [record] });
    expect(readTable(Buffer.from(text)).entries).toEqual([{ at: expect.any(Number), record, faults: [] }]);
  });

  test('no cell is a formula to a spreadsheet', () => {
    const text = csvHeader() + csvRow({ tenant: 'acme', organization: '=cmd()', default_api: '@x' });
    expect(text).not.toMatch(/(^|,)[=@]/m);
    expect(readTable(Buffer.from(text)).entries[0]?.record).toMatchObject({ organization: '=cmd()', default_api: '@x' });
  });
});
