import { z } from 'zod';
import { EVERYBODY, ORGANIZATION, OWNER } from '#broker/credential/owner.ts';
import type { Departure } from '#broker/credential/owner.ts';

/*
 * Auth0 tells of people who go in its tenant log, which a log stream (custom webhook) delivers: "Log Event Type Codes" and
 * "Log Event Filters". A change by the Management API or the dashboard is a `sapi` event that holds the request itself.
 */

const event = z.object({
  data: z.object({
    date: z.string(),
    type: z.string(),
    user_id: z.string().optional(),
    details: z
      .object({
        request: z.object({ method: z.string(), path: z.string(), body: z.unknown() }).partial().optional(),
      })
      .optional(),
  }),
});

/** Most events of one delivery; Auth0 sends 100. */
export const MAX_EVENTS = 1_000;

/**
 * Who went, by these log events. What isn't about that, and what is of no known form, says nothing: Auth0 adds types as it likes.
 * @param nowMs ms since 1970; no event is later
 */
export function departuresOf(events: readonly unknown[], nowMs: number): Departure[] {
  return events.flatMap((one) => {
    const parsed = event.safeParse(one);
    if (!parsed.success) return [];
    const { date, type, user_id: user, details } = parsed.data.data;
    const time = Date.parse(date);
    const at = Math.ceil(Math.min(Number.isFinite(time) ? time : nowMs, nowMs) / 1000);
    const gone = (owner: unknown, organization?: string): Departure[] =>
      typeof owner === 'string' && OWNER.test(owner) ? [{ owner, at, ...(organization === undefined ? {} : { organization }) }] : [];
    // Successful user deletion.
    if (type === 'sdu') return gone(user);
    if (type !== 'sapi') return [];
    return byRequest(details?.request ?? {}, gone, (organization) => [{ owner: EVERYBODY, organization, at }]);
  });
}

function byRequest(
  { method = '', path = '', body }: { method?: string | undefined; path?: string | undefined; body?: unknown },
  gone: (owner: unknown, organization?: string) => Departure[],
  everybody: (organization: string) => Departure[],
): Departure[] {
  const parts = path.split('?', 1)[0]!.split('/').map(decoded);
  if (parts[1] !== 'api' || parts[2] !== 'v2') return [];
  const [kind, id, more, member, roles] = parts.slice(3);
  const verb = method.toLowerCase();
  const members = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  if (kind === 'users') {
    if (verb === 'delete' && more === undefined) return gone(id);
    if (verb === 'patch' && more === undefined && members['blocked'] === true) return gone(id);
    // Less than they had, and which of it isn't said: they make new keys with what is left.
    if (verb === 'delete' && (more === 'permissions' || more === 'roles')) return gone(id);
  }
  // Linked to another account, which is what is left of it.
  if (kind === 'users' && verb === 'post' && more === 'identities') return gone(linked(members));
  if (kind === 'organizations' && id !== undefined && ORGANIZATION.test(id) && more === undefined && verb === 'delete')
    return everybody(id);
  if (kind === 'organizations' && id !== undefined && ORGANIZATION.test(id) && more === 'members' && verb === 'delete') {
    if (member !== undefined && roles === 'roles') return gone(member, id);
    if (Array.isArray(members['members'])) return members['members'].flatMap((one: unknown) => gone(one, id));
  }
  return [];
}

/** Auth0 user id of the account that was linked; with `link_with` it is in a token, which isn't told. */
function linked({ provider, user_id: id }: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof id !== 'string') return undefined;
  return typeof provider === 'string' && !id.includes('|') ? `${provider}|${id}` : id;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
