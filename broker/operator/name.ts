import { BlockList, isIP } from 'node:net';
import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';

/** Words that a log line or a policy name would make look like one of Postern's own identities; the same as in Terraform. */
const RESERVED = ['auditor', 'broker', 'default', 'operator', 'postern', 'root'];

/** @throws {PosternError} invalid_request; the id becomes a part of Vault paths, so this comes before any call */
export function checkTenantId(tenant: string): void {
  if (!NAME.test(tenant)) {
    throw new PosternError('invalid_request', `${JSON.stringify(tenant.slice(0, 80))} can't be a tenant's id`, {
      detail: 'An id is 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends.',
    });
  }
  if (RESERVED.includes(tenant))
    throw new PosternError('invalid_request', `"${tenant}" is a reserved word and can't be a tenant's id`, {
      detail: `Reserved are ${RESERVED.join(', ')}.`,
    });
}

/** Vault answers a malformed block with an internal error, so it never gets one. */
export function isCidr(text: string): boolean {
  const match = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(text);
  const family = isIP(match?.[1] ?? '');
  return family !== 0 && Number(match?.[2]) <= (family === 4 ? 32 : 128);
}

/** Whether every address of `inner` lies in `outer`; an `outer` without a prefix is one address. */
export function contains(outer: string, inner: string): boolean {
  const [base = '', bits] = outer.split('/');
  const [address = '', innerBits = ''] = inner.split('/');
  const family = isIP(base);
  if (family === 0 || family !== isIP(address)) return false;
  const prefix = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const blocks = new BlockList();
  blocks.addSubnet(base, prefix, type);
  return Number(innerBits) >= prefix && blocks.check(address, type);
}

/** An accessor is a UUID; it goes into a body, never into a path. */
export const ACCESSOR = /^[0-9a-fA-F-]{36}$/;
