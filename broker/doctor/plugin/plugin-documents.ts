import { z } from 'zod';
import type { View } from '#broker/doctor/view.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';

const pluginApi = z.object({ audience: z.string(), scopes: z.array(z.string()).default([]) });
const pluginRole = z.object({
  grants: z.array(z.object({ api: z.string(), scopes: z.array(z.string()).default([]) })).default([]),
  disabled: z.boolean().default(false),
  client_id: z.string().nullish(),
});

/** `<plugin>/apis/*`, by name. @returns undefined where the plugin isn't mounted. @throws {PosternError} */
export function pluginApis(view: View): Promise<ReadonlyMap<string, z.infer<typeof pluginApi>> | undefined> {
  return all(view, 'apis', pluginApi);
}

/** `<plugin>/roles/*`, by tenant, of those that are wanted. @returns undefined where the plugin isn't mounted. @throws {PosternError} */
export function pluginRoles(
  view: View,
  wanted: (tenant: string) => boolean,
): Promise<ReadonlyMap<string, z.infer<typeof pluginRole>> | undefined> {
  return all(view, 'roles', pluginRole, wanted);
}

async function all<T>(
  { access, mounts, read }: View,
  folder: string,
  schema: z.ZodType<T>,
  wanted: (name: string) => boolean = () => true,
): Promise<ReadonlyMap<string, T> | undefined> {
  if (!(await hasPlugin(access))) return undefined;
  const names = await access.call(`list the plugin's ${folder}`, ({ client, as }) => client.list(`${mounts.plugin}/${folder}`, as));
  const found = await inParallel(names.filter(wanted), WIDTH, async (name) => {
    const parsed = schema.safeParse(await read(`read the plugin's ${folder}`, `${mounts.plugin}/${folder}/${name}`));
    return parsed.success ? ([[name, parsed.data]] as const) : [];
  });
  return new Map(found.flat());
}
