import { writeFileSync } from 'node:fs';
import { freePort } from '#dev/port.ts';
import { findGateway } from '#test/part/gateway.ts';
import { startLeashed } from '#tools/process/leash.ts';

const envoy = (name: string): string => `type.googleapis.com/envoy.${name}`;
const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/**
 * The `vault.example.com` of docs/production.md: Envoy passes TCP on to whichever node answers `sys/health` with 200, which is the active
 * one, as HashiCorp has balancers do it, and cuts the connections to a node that no longer does.
 * @param nodes ports of 127.0.0.1
 */
export async function startVaultBalancer(nodes: readonly number[], file: string, log: string) {
  const port = await freePort();
  const admin = await freePort();
  const proxy = { '@type': envoy('extensions.filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'vault', cluster: 'vault' };
  const tls = { '@type': envoy('extensions.transport_sockets.tls.v3.UpstreamTlsContext') };
  const configuration = {
    admin: { address: at(admin) },
    static_resources: {
      listeners: [
        {
          name: 'vault',
          address: at(port),
          filter_chains: [{ filters: [{ name: 'envoy.filters.network.tcp_proxy', typed_config: proxy }] }],
        },
      ],
      clusters: [
        {
          name: 'vault',
          type: 'STATIC',
          connect_timeout: '1s',
          // None healthy is none, not all.
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
          close_connections_on_host_health_failure: true,
          load_assignment: {
            cluster_name: 'vault',
            endpoints: [{ lb_endpoints: nodes.map((node) => ({ endpoint: { address: at(node) } })) }],
          },
          // TLS is the brokers' own; the balancer speaks it for its question alone.
          transport_socket_matches: [
            { name: 'health', match: { health: true }, transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: tls } },
          ],
          health_checks: [
            {
              timeout: '1s',
              interval: '0.5s',
              no_traffic_interval: '0.5s',
              unhealthy_interval: '0.25s',
              unhealthy_threshold: 2,
              healthy_threshold: 1,
              http_health_check: { path: '/v1/sys/health' },
              transport_socket_match_criteria: { health: true },
            },
          ],
        },
      ],
    },
  };
  writeFileSync(file, JSON.stringify(configuration));
  const child = await startLeashed(
    (await findGateway('envoy')).path,
    ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'],
    {
      env: { PATH: process.env['PATH'] ?? '' },
      log,
    },
  );
  return { port, stop: () => child.stop() };
}
