import { readFileSync, writeFileSync } from 'node:fs';
import { EnvHttpProxyAgent, fetch } from 'undici';
import { releaseSite } from './part/download.ts';
import { lockedHashes } from './part/provider.ts';
import { findTerraform } from './part/terraform.ts';
import { checkout, type Versions } from './part/version.ts';

/**
 * `make pin`: asks for the SHA-256 of the releases that `tools/versions.json` names and writes them into it. This is the
 * one place that believes the site, so hold what it wrote against another source before you commit it.
 */
const PLATFORMS = ['darwin_amd64', 'darwin_arm64', 'linux_amd64', 'linux_arm64'];
const file = `${checkout}/tools/versions.json`;
const versions = JSON.parse(readFileSync(file, 'utf8')) as Versions;
const dispatcher = new EnvHttpProxyAgent();

for (const name of ['vault', 'terraform'] as const) {
  const pin = versions[name];
  const address = `${releaseSite(process.env)}/${name}/${pin.version}/${name}_${pin.version}_SHA256SUMS`;
  const response = await fetch(address, { dispatcher });
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
  const lines = (await response.text()).split('\n').map((line) => line.trim().split(/\s+/));
  pin.sha256 = Object.fromEntries(
    PLATFORMS.map((platform) => {
      const sum = lines.find(([, listed]) => listed === `${name}_${pin.version}_${platform}.zip`)?.[0];
      if (!/^[0-9a-f]{64}$/.test(sum ?? '')) throw new Error(`${address} has no checksum for ${platform}`);
      return [platform, sum];
    }),
  );
}
const terraform = await findTerraform();
for (const pin of Object.values(versions.providers)) pin.sha256 = await lockedHashes(pin, terraform, process.env);

writeFileSync(file, `${JSON.stringify(versions, null, 2)}\n`);
console.log('tools/versions.json is written: hold it against another source (git diff tools/versions.json), then commit it.');
await dispatcher.close();
