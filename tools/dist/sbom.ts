import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import type { BundledPackage } from './notice.ts';

export interface SbomOptions {
  /** Of the artifact. */
  name: string;
  version: string;
  packages: readonly BundledPackage[];
  /** Version of the Node inside; undefined: none. */
  node?: string | undefined;
  /** Packages of a distribution of which files are in it. */
  system?: readonly { name: string; version: string }[];
}

/**
 * What an artifact is made of, as CycloneDX 1.6 in JSON. Without a serial number and a time, so that the same artifact has the same one.
 * https://cyclonedx.org/docs/1.6/json/
 */
export function sbom({ name, version, packages, node, system = [] }: SbomOptions): string {
  const bom = new Models.Bom();
  bom.metadata.component = component(Enums.ComponentType.Application, { name, version, license: 'Apache-2.0' });
  for (const one of packages)
    bom.components.add(component(Enums.ComponentType.Library, one, `pkg:npm/${purlName(one.name)}@${one.version}`));
  if (node !== undefined)
    bom.components.add(
      component(Enums.ComponentType.Platform, { name: 'node', version: node, license: 'MIT' }, `pkg:generic/node@${node}`),
    );
  for (const one of system)
    bom.components.add(
      component(
        Enums.ComponentType.Library,
        { ...one, license: 'see its copyright file' },
        `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}`,
      ),
    );
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function component(type: Enums.ComponentType, { name, version, license }: BundledPackage, purl?: string): Models.Component {
  const made = new Models.Component(type, name, { version, bomRef: purl ?? `${name}@${version}` });
  if (purl !== undefined) made.purl = purl as never;
  made.licenses.add(/^[A-Za-z0-9.+-]+$/.test(license) ? new Models.SpdxLicense(license as never) : new Models.NamedLicense(license));
  return made;
}

/** Package URL: the `@` of a scope is percent-encoded. */
function purlName(name: string): string {
  return name.replace(/^@/, '%40');
}
