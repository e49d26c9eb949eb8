import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackendFactory, PluginLog } from '#broker/plugin/backend.ts';
import { BackendService, HandleRequestReply } from '#broker/plugin/proto/generated/backend.ts';
import { HealthService } from '#broker/plugin/proto/generated/health.ts';
import { PluginMultiplexingService } from '#broker/plugin/proto/generated/multiplexing.ts';
import { GRPCBrokerService, GRPCControllerService, GRPCStdioService } from '#broker/plugin/proto/generated/process.ts';
import { PluginVersionService } from '#broker/plugin/proto/generated/version.ts';
import { createCertificate } from './certificate.ts';
import { controller, health, multiplexing, stdio } from './companion.ts';
import { DialBack } from './dialback.ts';
import { handshakeLine, hasCookie, inMetadataMode, offersOurProtocol } from './handshake.ts';
import type { PluginEnv } from './handshake.ts';
import { listen } from './listener.ts';
import { HclogLines } from './log.ts';
import { serialize } from './message-writer.ts';
import { Mounts } from './mounts.ts';
import { Peer } from './peer.ts';
import { holdProcess } from './process.ts';
import { GrpcServer } from './grpc-server.ts';

export interface ServeOptions {
  readonly factory: BackendFactory;
  /** What Vault hands over: magic cookie, client certificate, temporary folder. */
  readonly env: PluginEnv;
  /** `v1.2.3`: what the process says of itself before it has any backend. */
  readonly version: string;
  /** Receives the handshake line and nothing else. */
  readonly stdout: Writable;
  /** Receives the log: one JSON object a line, as hclog writes them. */
  readonly stderr: Writable;
}

/** ms until Vault must have come for us after the handshake; its own patience is a minute. */
const VAULT_COMES = 60_000;
/** ms from the end of Vault's stream to ours, in which its Shutdown may still come. */
const VAULT_IS_GONE = 500;
/** ms for engines to clean up. Vault kills 2 s after its Shutdown. */
const CLEAN_UP = 1_000;

/**
 * Serves backends to the Vault that started this process, until Vault shuts it down or is gone.
 * @returns the exit code: 0 after a shutdown, 1 where nobody but Vault should have started it or it can't serve
 */
export async function servePlugin({ factory, env, version, stdout, stderr }: ServeOptions): Promise<number> {
  if (!hasCookie(env)) {
    stderr.write('This is a secrets engine for HashiCorp Vault, which starts it itself: see `postern plugin install`.\n');
    return 1;
  }
  const log = new HclogLines(stderr);
  if (!offersOurProtocol(env)) return refuse(log, 'this Vault does not speak version 5 of the plugin protocol');
  if (!env['PLUGIN_CLIENT_CERT']) return refuse(log, 'Vault has sent no certificate, and nobody is served without');
  let peer: Peer;
  try {
    peer = new Peer(env['PLUGIN_CLIENT_CERT']);
  } catch {
    return refuse(log, 'the certificate that Vault sent is malformed');
  }

  // Node can't; an engine in Go would lock its memory here.
  if (env['VAULT_PLUGIN_MLOCK_ENABLED'] === 'true')
    log.warn('Vault locks its memory, and this plugin can not lock its own: keep swap off, or encrypted');

  const certificate = await createCertificate();
  const ending = Promise.withResolvers<number>();
  const release = holdProcess({ log, streams: [stdout, stderr], onEnd: ending.resolve });
  const unclaimed = setTimeout(() => ending.resolve(1), VAULT_COMES);
  const dialBack = new DialBack(peer, certificate, {
    stream: () => clearTimeout(unclaimed),
    gone: () => setTimeout(() => ending.resolve(0), VAULT_IS_GONE),
  });
  const mounts = new Mounts({ factory, dialBack, log, version, metadataMode: inMetadataMode(env) });

  const server = new GrpcServer();
  server.add({ ...BackendService, handleRequest: { ...BackendService.handleRequest, responseSerialize: writeReply } }, mounts.backend);
  server.add(PluginVersionService, mounts.pluginVersion);
  server.add(PluginMultiplexingService, multiplexing);
  server.add(GRPCBrokerService, dialBack.service);
  server.add(
    GRPCControllerService,
    controller(() => ending.resolve(0)),
  );
  server.add(GRPCStdioService, stdio);
  server.add(HealthService, health);

  try {
    const listener = await listen(peer, certificate, env, log, (socket) => server.accept(socket));
    stdout.write(handshakeLine(listener.path, certificate.der, env));
    const code = await ending.promise;
    await Promise.race([mounts.close(), sleep(CLEAN_UP, undefined, { ref: false })]);
    await listener.close();
    return code;
  } catch (error) {
    log.error('the plugin can not serve', { error });
    return 1;
  } finally {
    clearTimeout(unclaimed);
    server.close();
    release();
  }
}

/** Of all messages, the one that there are many of. */
const writeReply = (reply: HandleRequestReply): Uint8Array => serialize(reply, HandleRequestReply);

function refuse(log: PluginLog, why: string): number {
  log.error(why);
  return 1;
}
