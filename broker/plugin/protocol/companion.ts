import { status } from '@grpc/grpc-js';
import { HealthCheckResponse_ServingStatus } from '#broker/plugin/proto/generated/health.ts';
import type { HealthService } from '#broker/plugin/proto/generated/health.ts';
import type { PluginMultiplexingService } from '#broker/plugin/proto/generated/multiplexing.ts';
import type { GRPCControllerService, GRPCStdioService } from '#broker/plugin/proto/generated/process.ts';
import { GrpcFault } from './grpc-server.ts';
import type { Handlers } from './grpc-server.ts';

/** The small services that go-plugin's host expects beside the plugin's own. */

export const health: Handlers<HealthService> = {
  check: ({ service }) => {
    // `plugin` is what the host asks for; the empty name is the process as a whole.
    if (service !== 'plugin' && service !== '') throw new GrpcFault(status.NOT_FOUND, 'unknown service');
    return { status: HealthCheckResponse_ServingStatus.SERVING };
  },
};

export const multiplexing: Handlers<PluginMultiplexingService> = {
  multiplexingSupport: () => ({ supported: true }),
};

/** The host takes what we print from our real stderr; the stream has nothing to say, but must stay open. */
export const stdio: Handlers<GRPCStdioService> = {
  streamStdio: () => {},
};

/** @param onShutdown called after the answer is on its way */
export function controller(onShutdown: () => void): Handlers<GRPCControllerService> {
  return {
    shutdown: () => {
      setImmediate(onShutdown);
      return {};
    },
  };
}
