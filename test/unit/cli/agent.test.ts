import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentConfiguration } from '#cli/command/agent/configuration.ts';
import type { AgentSpecification } from '#cli/command/agent/configuration.ts';
import { checkout } from '#tools/part/version.ts';

const PLUGIN: AgentSpecification = {
  vault: { address: 'https://vault.example.com:8200' },
  tenant: 'acme',
  approleMount: 'approle',
  folder: '/etc/postern-agent',
  destination: '/run/postern-agent/token',
  door: { kind: 'plugin', mount: 'auth0', audience: undefined },
  wrapped: false,
};

const EXAMPLES: Readonly<Record<string, AgentSpecification>> = {
  plugin: PLUGIN,
  kv: { ...PLUGIN, door: { kind: 'kv', mount: 'postern-tokens', api: 'orders', interval: 60 } },
  exec: { ...PLUGIN, process: { command: ['/usr/local/bin/worker', 'nightly'], variable: 'ACCESS_TOKEN' } },
  wrapped: { ...PLUGIN, wrapped: true },
};

test.each(Object.entries(EXAMPLES))('examples/sidecar/%s.hcl is what `postern agent config` writes', async (name, spec) => {
  expect(agentConfiguration(spec)).toBe(await readFile(join(checkout, `examples/sidecar/${name}.hcl`), 'utf8'));
});

test('an audience stands in a query, a namespace at both places', () => {
  const text = agentConfiguration({
    ...PLUGIN,
    vault: { address: 'https://v', namespace: 'team/a', caFile: '/etc/ca.pem' },
    door: { kind: 'plugin', mount: 'auth0', audience: 'https://orders.example.com/?a=b&c' },
  });
  expect(text).toContain('auth0/creds/acme?audience=https%3A%2F%2Forders.example.com%2F%3Fa%3Db%26c\\"');
  expect(text.match(/^ +namespace = "team\/a"$/gm)).toHaveLength(2);
  expect(text).toContain('ca_cert = "/etc/ca.pem"');
});
