import { z } from 'zod';
import { httpsOrLoopback } from './loopback.ts';
import { MOUNT_PATH, MOUNTS } from './mounts.ts';
import type { MountName } from './mounts.ts';

/** The kinds of settings that an environment variable can hold, for the broker's own and for those that a token source brings. */

/** In digits only: Number() would take white space for 0. */
const digits = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'must be a number in digits, without a sign')
  .transform(Number);

/** @param fallback, min, max seconds */
export const seconds = (fallback: number, min: number, max: number) => digits.pipe(z.number().min(min).max(max)).default(fallback);

export const count = (fallback: number, min: number, max: number) => digits.pipe(z.number().int().min(min).max(max)).default(fallback);
/** Without a default of its own. */
export const optionalCount = (min: number, max: number) => digits.pipe(z.number().int().min(min).max(max)).optional();

export const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform((v) => v === 'true');

/** A name in Vault, with its default from the one list. */
export const mount = (name: MountName) =>
  z.string().regex(MOUNT_PATH, 'must be a mount path without a slash at either end').default(MOUNTS[name].fallback);

/** Addresses are logged and published, so they must hold nothing secret. */
export const address = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).refine((v) => {
  const { username = '', password = '' } = URL.parse(v) ?? {};
  return username === '' && password === '' && !/[?#]/.test(v);
}, 'must have no user name, no query and no fragment');

/** May hold a user name and a password, so only its origin is logged. */
export const proxy = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

/** With the trailing slash that Auth0's issuers have and that verifiers compare. */
export const issuer = address.transform((v) => (v.endsWith('/') ? v : `${v}/`));

export const secureIssuer = issuer.refine((v) => httpsOrLoopback(new URL(v)), 'must be https (http only on loopback)');

/** Host names or addresses with commas between, as URLs spell them. */
export const hostNames = z
  .string()
  .default('')
  .transform((v) =>
    Object.freeze(
      v
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    ),
  )
  .refine(
    (names) => names.every((name) => /^[a-z0-9:.-]{1,253}$/.test(name)),
    'must be host names in lower case, with commas between, without ports',
  );

export const hostAndPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
  .refine((v) => !(Number(v.slice(v.lastIndexOf(':') + 1)) > 65_535), 'has no port from 0 to 65535');
