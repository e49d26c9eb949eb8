import { clientAddresses } from './broker/client-addresses.ts';
import { discovery } from './broker/discovery.ts';
import { keys } from './broker/keys.ts';
import { ready } from './broker/ready.ts';
import type { BrokerView } from './broker/broker-view.ts';
import { announcements } from './documents/announcements.ts';
import { apis } from './documents/apis.ts';
import { clientIds } from './documents/client-ids.ts';
import { keyRotations } from './documents/key-rotations.ts';
import { tenants } from './documents/tenants.ts';
import { trusts } from './documents/trusts.ts';
import type { Inspection } from './inspection.ts';
import { apis as pluginApis } from './plugin/apis.ts';
import { roles as pluginRoles } from './plugin/roles.ts';
import { pluginVersion } from './plugin/version.ts';
import { audit } from './vault/audit.ts';
import { brokerRole } from './vault/broker-role.ts';
import { lockout } from './vault/lockout.ts';
import { mounts } from './vault/mounts.ts';
import { policies } from './vault/policies.ts';
import { rateLimit } from './vault/rate-limit.ts';
import { reachable } from './vault/reachable.ts';
import { tokenCache } from './vault/token-cache.ts';
import { version } from './vault/version.ts';
import { yourToken } from './vault/your-token.ts';

/** What `postern doctor` looks at in Vault, in this order; what the token sources look at comes next. */
export const IN_VAULT: readonly Inspection[] = [
  reachable,
  version,
  yourToken,
  mounts,
  lockout,
  rateLimit,
  policies,
  brokerRole,
  tokenCache,
  audit,
  pluginVersion,
  pluginApis,
  pluginRoles,
  apis,
  tenants,
  clientIds,
  keyRotations,
  trusts,
  announcements,
];

/** What it looks at on a running broker. */
export const ON_BROKER: readonly Inspection<BrokerView>[] = [ready, clientAddresses, discovery, keys];
