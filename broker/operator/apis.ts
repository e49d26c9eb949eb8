import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { VaultAccess } from './access.ts';
import { inParallel } from './parallel.ts';
import { WIDTH } from './secret/secret-id.ts';

/** The APIs that Terraform wrote, by name, as the operator may read them. A document that is not valid is undefined. */
export async function readApis(access: VaultAccess): Promise<Map<string, Api | undefined>> {
  const names = (await access.call('list the APIs', ({ documents, as }) => documents.list('apis', as))).filter((name) => NAME.test(name));
  const apis = await inParallel(names, WIDTH, async (name): Promise<[string, Api | undefined]> => {
    const { data } = await access.call(`read the API ${name}`, ({ documents, as }) => documents.read(`apis/${name}`, as));
    const parsed = apiDocument.safeParse(data);
    return [name, parsed.success ? { ...parsed.data, name } : undefined];
  });
  return new Map(apis.sort(([a], [b]) => a.localeCompare(b)));
}
