import { LISTED, ok, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';

const title = 'announcements';

export const announcements: Inspection = {
  title,
  async inspect({ access, index }) {
    const [{ epoch, disabled }, all] = await Promise.all([readAnnouncements(access), index()]);
    const names = new Set(all.names);
    const gone = disabled.filter((name) => !names.has(name));
    if (gone.length > 0)
      return [
        warning(
          title,
          `disabled, but no tenants (any more): ${gone.slice(0, LISTED).join(', ')}`,
          `Their deletion was interrupted: postern tenant delete ${gone[0]} --yes`,
        ),
      ];
    const told = disabled.length === 0 ? 'nobody' : disabled.slice(0, LISTED).join(', ');
    return [ok(title, epoch === 0 ? 'none yet' : `${epoch} so far; disabled: ${told}`)];
  },
};
