import { status } from '@grpc/grpc-js';
import { HealthCheckResponse_ServingStatus } from '#broker/plugin/proto/generated/health.ts';
import type { HealthServer } from '#broker/plugin/proto/generated/health.ts';
import type { PluginMultiplexingServer } from '#broker/plugin/proto/generated/multiplexing.ts';
import type { GRPCControllerServer, GRPCStdioServer } from '#broker/plugin/proto/generated/process.ts';

/** The small services that go-plugin's host expects beside the plugin's own. */

export const health: HealthServer = {
  check: ({ request }, reply) => {
    // `plugin` is what the host asks for; the empty name is the process as a whole.
    if (request.service === 'plugin' || request.service === '') reply(null, { status: HealthCheckResponse_ServingStatus.SERVING });
    else reply({ code: status.NOT_FOUND, details: 'unknown service' });
  },
};

export const multiplexing: PluginMultiplexingServer = {
  multiplexingSupport: (_call, reply) => reply(null, { supported: true }),
};

/** The host takes what we print from our real stderr; the stream has nothing to say, but must stay open. */
export const stdio: GRPCStdioServer = {
  streamStdio: (stream) => void stream.on('cancelled', () => stream.end()),
};

/** @param onShutdown called after the answer is on its way */
export function controller(onShutdown: () => void): GRPCControllerServer {
  return {
    shutdown: (_call, reply) => {
      reply(null, {});
      setImmediate(onShutdown);
    },
  };
}
