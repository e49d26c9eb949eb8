import { LISTED, ok, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'tenants: client_id';

/** A document that says whose it is keeps out the credentials of a former tenant of its name. */
export const clientIds: Inspection = {
  title,
  async inspect({ documents }) {
    const all = [...(await documents())];
    const without = all.filter(([, { client_id: id }]) => !id).map(([tenant]) => tenant);
    if (without.length === 0) return [ok(title, `in ${all.length} documents`)];
    const more = without.length > LISTED ? ` and ${without.length - LISTED} more` : '';
    return [
      warning(
        title,
        `missing in the documents of ${without.slice(0, LISTED).join(', ')}${more}, so that credentials of a former tenant of that name are not told apart`,
        `postern tenant create ${without[0]} --update writes it, or terraform apply where Terraform manages the tenant.`,
      ),
    ];
  },
};
