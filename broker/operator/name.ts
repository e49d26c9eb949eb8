import { BlockList, isIP } from 'node:net';
import { NAME } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { canonicalAddress, canonicalCidr } from '#broker/ip-address.ts';

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
  return canonicalCidr(text) !== undefined;
}

/**
 * Blocks as they are sent to Vault, each once: any other spelling of IPv6 is mangled there and locks its owner out.
 * @throws {PosternError} invalid_request
 */
export function canonicalCidrs(blocks: readonly string[]): string[] {
  const canonical = blocks.map((block) => {
    const text = canonicalCidr(block);
    if (text === undefined)
      throw new PosternError('invalid_request', `${JSON.stringify(block.slice(0, 60))} is not a block of addresses such as 203.0.113.0/24`);
    return text;
  });
  return [...new Set(canonical)];
}

/** Whether every address of `inner` lies in `outer`; an `outer` without a prefix is one address. */
export function contains(outer: string, inner: string): boolean {
  const [base = '', bits = ''] = (outer.includes('/') ? canonicalCidr(outer) : single(outer))?.split('/') ?? [];
  const [address = '', innerBits = ''] = canonicalCidr(inner)?.split('/') ?? [];
  const family = isIP(base);
  if (family === 0 || family !== isIP(address)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const blocks = new BlockList();
  blocks.addSubnet(base, Number(bits), type);
  return Number(innerBits) >= Number(bits) && blocks.check(address, type);
}

function single(text: string): string | undefined {
  const address = canonicalAddress(text);
  return address === undefined ? undefined : `${address}/${isIP(address) === 4 ? 32 : 128}`;
}

/** An accessor is a UUID; it goes into a body, never into a path. */
export const ACCESSOR = /^[0-9a-fA-F-]{36}$/;
