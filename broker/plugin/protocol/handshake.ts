import { hash, timingSafeEqual } from 'node:crypto';

/**
 * How a process that Vault has started makes itself known: HashiCorp go-plugin's handshake
 * (https://github.com/hashicorp/go-plugin/blob/main/docs/guide-plugin-write-non-go.md), with the values of Vault's backends.
 */

/** Vault sets it for its plugins. It keeps nobody out: it tells a person at a terminal from Vault. */
const COOKIE_NAME = 'VAULT_BACKEND_PLUGIN';
const COOKIE = '6669da05-b1c8-4f49-97d9-c8e5bed98e20';

const CORE_PROTOCOL = 1;
/** Of Vault's backends: gRPC with multiplexing. */
const BACKEND_PROTOCOL = 5;

export type PluginEnv = Readonly<Record<string, string | undefined>>;

export function hasCookie(env: PluginEnv): boolean {
  // Digests have one length, as timingSafeEqual needs it.
  return timingSafeEqual(hash('sha256', env[COOKIE_NAME] ?? '', 'buffer'), hash('sha256', COOKIE, 'buffer'));
}

/** Whether Vault can speak to us: a Vault that offers versions must offer ours. */
export function offersOurProtocol(env: PluginEnv): boolean {
  const offered = env['PLUGIN_PROTOCOL_VERSIONS'];
  return offered === undefined || offered === '' || offered.split(',').some((version) => version.trim() === String(BACKEND_PROTOCOL));
}

/** Vault only wants to know what this is: it is not mounted, and has no storage to give. */
export function inMetadataMode(env: PluginEnv): boolean {
  return env['VAULT_PLUGIN_METADATA_MODE'] === 'true';
}

/**
 * The one line on stdout by which Vault finds us.
 * @param certificate DER
 */
export function handshakeLine(socketPath: string, certificate: Uint8Array, env: PluginEnv): string {
  // Go reads base64 without padding here.
  const encoded = Buffer.from(certificate).toString('base64').replace(/=+$/, '');
  const line = [CORE_PROTOCOL, BACKEND_PROTOCOL, 'unix', socketPath, 'grpc', encoded].join('|');
  // A host that asks for one connection for all (plugins in containers) is told that we do not: it then says so itself.
  return env['PLUGIN_MULTIPLEX_GRPC'] ? `${line}|false\n` : `${line}\n`;
}
