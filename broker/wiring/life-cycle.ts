import type { Config } from '#broker/config.ts';
import { AnnouncementWatch } from '#broker/credential/announcements.ts';
import { CatalogWatch } from '#broker/credential/catalog-watch.ts';
import type { Endings } from '#broker/credential/endings.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Logger } from '#broker/log.ts';
import { Revocations } from '#broker/token/revocations.ts';
import { VaultAnnouncements } from '#broker/vault/announcements.ts';
import { VaultCatalog } from '#broker/vault/catalog.ts';
import { VaultRevocations } from '#broker/vault/revocations.ts';
import type { Verification } from './verification.ts';
import type { ConnectedVault } from './vault.ts';

/** How what ends reaches this replica. */
export interface LifeCycle {
  readonly announcements: AnnouncementWatch;
  readonly revocations: Revocations;
  readonly endings: Endings;
  readonly departures: Endings;
  readonly generations: Generations;
}

/** Everything that is looked at each second. */
export function lifeCycle(
  config: Config,
  log: Logger,
  { client, watched, session, apis, troubles, clock }: ConnectedVault,
  { verified, assertions, trusts, endings, departures, generations }: Verification,
  forgetTokens: (tenant: string) => void,
): LifeCycle {
  const earliest = (): number => client.clock.earliest;
  const revocations = new Revocations({
    ...clock,
    now: () => client.clock.theirs,
    earliest,
    log: new VaultRevocations(watched, session, earliest),
    perMinute: config.POSTERN_REVOCATIONS_PER_MINUTE,
    onWritten: ({ tenant, sha256 }) =>
      log.info({ tenant, sha256 }, 'a token that was taken back while Vault was away is now revoked on every replica'),
    onRestored: (from, to) =>
      log.error({ from, to }, 'state/revocations went back: Vault was restored to an older state; what was revoked stays so here'),
  });
  const catalog = new CatalogWatch({
    reader: new VaultCatalog(watched, session),
    generations,
    reload: () => apis.reload(),
    forget: () => {
      verified.forgetAll();
      assertions.forgetAll();
      trusts.forgetAll();
    },
  });
  const announcements = new AnnouncementWatch({
    ...clock,
    reader: new VaultAnnouncements(watched, session),
    watched: [revocations, endings, departures, catalog],
    verified: {
      forget: (tenant) => {
        verified.forget(tenant);
        trusts.forgetAll();
      },
      forgetAll: () => {
        verified.forgetAll();
        trusts.forgetAll();
      },
    },
    generations,
    graceMs: config.POSTERN_OUTAGE_GRACE * 1000,
    // The shared cache is cleared of it, too; memory must not keep it from being filled again when the tenant is enabled.
    onDisabled: forgetTokens,
    alsoDisabled: (tenant) => catalog.isDisabled(tenant),
    onError: (err) => troubles.fails(UNREAD, err),
    onRead: () => troubles.works(UNREAD),
    onRestored: (restored) =>
      log.error(
        {
          ...restored,
          ended: endings
            .all()
            .map(({ kind, id }) => `${kind} ${id}`)
            .slice(-MOST_NAMED),
        },
        'announcements went back: Vault was restored to an older state. This replica refuses what it knows as ended; see docs/restore.md',
      ),
  });
  return { announcements, revocations, endings, departures, generations };
}

const UNREAD = 'what is announced, ended, revoked or changed by Terraform can not be read';
/** Endings in one log line. */
const MOST_NAMED = 500;
