import { APPLY, failed, ok, LISTED, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api } from '#broker/authorization/documents.ts';
import { documentFault } from '#broker/document-fault.ts';
import type { View } from '#broker/doctor/view.ts';

const title = 'apis';

export const apis: Inspection = {
  title,
  async inspect(view) {
    const { sources } = view;
    const all = await view.apis();
    if (all.size === 0)
      return [warning(title, 'there is none, so nothing can be issued', 'Name them in the Terraform variable `apis` and apply.')];
    const valid = [...all.values()].flatMap((api) => api ?? []);
    return [
      ...faults(all, sources),
      ...(await Promise.all([...all].flatMap(([name, api]) => (api === undefined ? invalid(view, name) : [])))),
      // Told, not judged: only its owner knows what is too long.
      ...(valid.length === 0 ? [] : [worstCase(valid)]),
      ok(title, valid.map(({ name, source }) => `${name} (${source})`).join(', ')),
    ];
  },
};

function faults(all: ReadonlyMap<string, Api | undefined>, sources: readonly string[]): Check[] {
  const audiences = new Map<string, string>();
  return [...all].flatMap(([name, api]) => {
    // Said apart, with the reason.
    if (api === undefined) return [];
    if (!sources.includes(api.source))
      return failed(
        `api: ${name}`,
        `has the source ${api.source}, so brokers leave it out: this version has ${sources.join(', ')}`,
        'Set its source in Terraform, or upgrade Postern.',
      );
    const twin = audiences.get(api.audience);
    if (twin !== undefined)
      return failed(
        `api: ${name}`,
        `has the same audience as ${twin}, so brokers leave it out`,
        'Give each API its own audience in Terraform.',
      );
    audiences.set(api.audience, name);
    return [];
  });
}

async function invalid({ mounts, read }: View, name: string): Promise<Check> {
  const document = await read(`read the API ${name}`, `${mounts.kv}/data/apis/${name}`);
  const parsed = apiDocument.safeParse(document?.['data']);
  return failed(`api: ${name}`, `its document is not valid${parsed.success ? '' : `: ${documentFault(parsed.error)}`}`, APPLY);
}

function worstCase(apis: readonly Api[]): Check {
  const longest = apis
    .toSorted((a, b) => b.lifetime - a.lifetime)
    .slice(0, LISTED)
    .map(({ name, lifetime }) => `${name} ${lifetime} s`);
  return ok(
    'revocation: worst case',
    `where services verify by key set alone, a token handed out lives on for up to: ${longest.join(', ')}; where they introspect, 2 s`,
  );
}
