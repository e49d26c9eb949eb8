import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const EXAMPLES = fileURLToPath(new URL('../examples/gateway', import.meta.url));

/** What a person who pastes lines needs of a stack. Addresses without a slash at their end. */
export interface Handout {
  broker: string;
  admin: string;
  service: string;
  /** Where a gateway of `examples/gateway/` is to listen. */
  gateway: string;
  vault: string;
  audience: string;
  roleId: string;
  secretId: string;
  key: string;
  operatorToken: string;
}

/**
 * Writes, into the stack's folder, `env`: addresses and one customer's credentials as variables of a shell, so that what is pasted from the
 * documentation goes to this stack and nowhere else, whatever ports were free; and `gateway/`: the examples with its addresses.
 */
export async function writeHandout(folder: string, handout: Handout): Promise<{ envFile: string; gateways: string }> {
  const envFile = join(folder, 'env');
  await writeFile(envFile, environment(handout), { mode: 0o600 });
  const gateways = join(folder, 'gateway');
  for (const name of await readdir(EXAMPLES)) {
    await mkdir(join(gateways, name), { recursive: true });
    for (const file of await readdir(join(EXAMPLES, name)))
      await writeFile(
        join(gateways, name, file),
        addressed(await readFile(join(EXAMPLES, name, file), 'utf8'), handout, join(gateways, name)),
      );
  }
  await writeFile(join(gateways, 'nginx', 'nginx.conf'), NGINX);
  return { envFile, gateways };
}

function environment(at: Handout): string {
  const pairs = {
    POSTERN_URL: at.broker,
    ADMIN: at.admin,
    SERVICE: at.service,
    GATEWAY: at.gateway,
    VAULT_ADDR: at.vault,
    // Of the programs in examples/.
    POSTERN_ISSUER: `${at.broker}/`,
    POSTERN_CLIENT_ID: at.roleId,
    POSTERN_CLIENT_SECRET: at.secretId,
    POSTERN_AUDIENCE: at.audience,
  };
  const ours = { ROLE_ID: at.roleId, SECRET_ID: at.secretId, KEY: at.key, OPERATOR: at.operatorToken };
  const lines = (all: Record<string, string>): string[] => Object.entries(all).map(([name, value]) => `${name}='${value}'`);
  return `# Written by "make dev", gone with it. For a shell: . .postern/dev/env
# Settings for another Vault, and proxies, are not for this one.
unset $(env | sed -n -e 's/^\\(VAULT_[A-Z0-9_]*\\)=.*/\\1/p' -e 's/^\\(BAO_[A-Z0-9_]*\\)=.*/\\1/p') 2>/dev/null || :
export NO_PROXY="\${NO_PROXY:+$NO_PROXY,}localhost,127.0.0.1,::1"
export no_proxy="$NO_PROXY"
${lines(pairs)
  .map((line) => `export ${line}`)
  .join('\n')}
${lines(ours).join('\n')}
`;
}

/** An example's file with the stack's addresses in place of the usual ones. */
function addressed(text: string, { broker, service, gateway }: Handout, folder: string): string {
  const port = (url: string): string => new URL(url).port;
  return [
    ['8080', port(broker)],
    ['3000', port(service)],
    ['8000', port(gateway)],
  ]
    .reduce(
      (changed, [usual = '', real = '']) =>
        changed
          .replaceAll(`127.0.0.1:${usual}`, `127.0.0.1:\0${real}`)
          .replaceAll(`address: 127.0.0.1, port_value: ${usual} `, `address: 127.0.0.1, port_value: \0${real} `)
          .replaceAll(`http_port ${usual}\n`, `http_port \0${real}\n`),
      text,
    )
    .replaceAll('\0', '')
    .replace(/^( *filename: ).*\/routes\.yml$/m, `$1${JSON.stringify(join(folder, 'routes.yml'))}`);
}

/** Around the example's `server`: nginx in the foreground, which keeps all its files in its prefix. */
const NGINX = `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  include postern.conf;
}
`;
