import { findHelm, goModuleFolder } from './part/helm.ts';
import { versions } from '#tools/part/version.ts';
console.log(await findHelm());
const { schemas, customSchemas } = versions.kubernetes;
for (const m of [schemas, ...Object.keys(customSchemas)]) console.log(await goModuleFolder(m));
