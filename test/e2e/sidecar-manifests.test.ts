import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { checkout } from '#tools/part/version.ts';
import { KubernetesSchemas } from '#test/fixture/kubernetes.ts';
import type { KubernetesObject } from '#test/fixture/kubernetes.ts';

/* The manifests of examples/sidecar, held against the definitions of the operators' own resources. No cluster runs here. */

let schemas: KubernetesSchemas;
beforeAll(async () => {
  schemas = await KubernetesSchemas.load();
}, 600_000);

async function manifests(file: string): Promise<KubernetesObject[]> {
  return parseAllDocuments(await readFile(join(checkout, 'examples/sidecar', file), 'utf8')).map((one) => one.toJS() as KubernetesObject);
}

/** By kind, with what a workload's token depends on. */
const KINDS = {
  'external-secrets.yaml': ['VaultDynamicSecret', 'ExternalSecret'],
  'vault-secrets-operator.yaml': ['VaultConnection', 'VaultAuth', 'VaultDynamicSecret'],
} as const;

describe.each(Object.entries(KINDS))('%s', (file, kinds) => {
  test('has only what the operator knows, and all that it needs', async () => {
    const objects = await manifests(file);
    expect(objects.map(({ kind }) => kind)).toEqual(kinds);
    expect(objects.flatMap((object) => schemas.faults(object))).toEqual([]);
  });

  test('a mistyped field of each is a fault', async () => {
    for (const object of await manifests(file)) {
      const [name, value] = Object.entries(object.spec ?? {})[0]!;
      const mistyped = { ...object, spec: { ...object.spec, [`${name}s`]: value } };
      expect(schemas.faults(mistyped), object.kind).not.toEqual([]);
    }
  });

  test('names resources that are there', async () => {
    const objects = await manifests(file);
    const names = objects.map(({ kind, metadata: { name } }) => `${kind}/${name}`);
    const refs = objects.flatMap(({ spec }) => [
      ...(spec?.['vaultConnectionRef'] === undefined ? [] : [`VaultConnection/${spec['vaultConnectionRef']}`]),
      ...(spec?.['vaultAuthRef'] === undefined ? [] : [`VaultAuth/${spec['vaultAuthRef']}`]),
      ...((spec?.['dataFrom'] ?? []) as { sourceRef: { generatorRef: { kind: string; name: string } } }[]).map(
        ({ sourceRef: { generatorRef: ref } }) => `${ref.kind}/${ref.name}`,
      ),
    ]);
    expect(refs.length).toBeGreaterThan(0);
    for (const ref of refs) expect(names).toContain(ref);
  });
});
