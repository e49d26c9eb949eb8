import { LISTED, ok, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { bodyOf } from './broker-view.ts';
import type { BrokerView } from './broker-view.ts';

const title = 'broker: client addresses';

/**
 * Whether tenants bound to addresses can be served at all: Vault holds their `cidrs` against the address that it sees, and a client that is
 * left out gets the 401 of a wrong credential.
 */
export const clientAddresses: Inspection<BrokerView> = {
  title,
  async inspect({ ready, vault }) {
    const { forwarded_to_vault: forwards, x_forwarded_for: told } = (bodyOf(await ready())['client_address'] ?? {}) as Record<
      string,
      unknown
    >;
    // Nothing answers, it isn't ready, or it is of an older version.
    if (typeof forwards !== 'boolean') return [];
    const bound = (await vault.tenants()).filter(({ cidrs }) => cidrs.length > 0);
    const checks: Check[] = [];
    if (told === 'ignored')
      checks.push(
        warning(
          title,
          'the broker does not believe the X-Forwarded-For of the proxy that you ask through, and takes the proxy for every client',
          'Name the proxy in POSTERN_TRUSTED_PROXIES.',
        ),
      );
    const cause = !forwards ? "the broker's own address" : told === 'ignored' ? "the proxy's address" : undefined;
    if (cause === undefined)
      return [...checks, ok(title, bound.length === 0 ? 'told to Vault' : `told to Vault; ${tenants(bound)} with cidrs`)];
    const remedy = forwards
      ? 'Name the proxy in POSTERN_TRUSTED_PROXIES.'
      : "Set POSTERN_FORWARD_CLIENT_ADDRESS=true, and x_forwarded_for_authorized_addrs of Vault's listener to the brokers' addresses; " +
        'or take the cidrs away.';
    for (const { tenant, cidrs } of bound.slice(0, LISTED))
      checks.push(
        warning(
          `tenant: ${tenant}: cidrs`,
          `its cidrs (${cidrs.slice(0, 5).join(', ')}) are held against ${cause}: it is refused with 401 unless they hold that`,
          remedy,
        ),
      );
    if (bound.length > LISTED) checks.push(warning(title, `${tenants(bound.slice(LISTED))} more have cidrs too`, remedy));
    if (checks.length === 0) checks.push(ok(title, 'not told to Vault, and no tenant has cidrs'));
    return checks;
  },
};

const tenants = ({ length }: readonly unknown[]): string => `${length} tenant${length === 1 ? '' : 's'}`;
