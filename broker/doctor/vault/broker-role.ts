import { APPLY, failed, ok, said } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'broker: role';

export const brokerRole: Inspection = {
  title,
  async inspect({ mounts: { brokerApprole, policyPrefix }, read }) {
    const role = await read('read the role of the broker', `auth/${brokerApprole}/role/broker`);
    if (role === undefined) return [failed(title, 'the role does not exist', APPLY)];
    const policies = Array.isArray(role['token_policies']) ? role['token_policies'].map(String) : [];
    if (policies.length !== 1 || policies[0] !== `${policyPrefix}broker`)
      return [failed(title, `has the policies ${policies.join(', ') || 'none'}, not ${policyPrefix}broker alone`, APPLY)];
    return role['token_type'] === 'service'
      ? [ok(title, `policy ${policies[0]}, service tokens`)]
      : [failed(title, `gives ${said(role['token_type'])} tokens, which can't be renewed`, APPLY)];
  },
};
