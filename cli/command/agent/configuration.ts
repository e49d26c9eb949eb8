/** The configuration of a Vault Agent: https://developer.hashicorp.com/vault/docs/agent-and-proxy/agent */
export interface AgentSpecification {
  readonly vault: { readonly address: string; readonly namespace?: string | undefined; readonly caFile?: string | undefined };
  readonly tenant: string;
  /** The tenants' AppRole, without `auth/`. */
  readonly approleMount: string;
  /** Where the Agent finds role-id and secret-id, and leaves the token unless told otherwise: absolute, on the workload's machine. */
  readonly folder: string;
  /** Absolute; undefined: `token` in the folder. Not used where a process is supervised. */
  readonly destination?: string | undefined;
  readonly door: PluginDoor | KvDoor;
  /** The secret-id file holds a wrapping token, which is opened once. */
  readonly wrapped: boolean;
  /** A process that the Agent starts with the token in its environment, and starts again with each new one. */
  readonly process?: { readonly command: readonly string[]; readonly variable: string } | undefined;
}

export interface PluginDoor {
  readonly kind: 'plugin';
  readonly mount: string;
  /** Undefined: the role's default API. */
  readonly audience: string | undefined;
}

export interface KvDoor {
  readonly kind: 'kv';
  readonly mount: string;
  readonly api: string;
  /** Seconds between two looks: an Agent isn't told when a document of KV changes. */
  readonly interval: number;
}

/** @returns HCL. What it names needs no quotes or escapes: the caller looked. */
export function agentConfiguration(spec: AgentSpecification): string {
  const { vault, tenant, folder, door, process } = spec;
  const namespace = vault.namespace === undefined ? '' : `\n  namespace = "${vault.namespace}"`;
  return `# A Vault Agent for ${tenant}: it logs in by AppRole and keeps a fresh access token ${process ? 'in a process that it starts' : 'in a file'}.
vault {
  address = "${vault.address}"${vault.caFile === undefined ? '' : `\n  ca_cert = "${vault.caFile}"`}${namespace}
}

auto_auth {
  method "approle" {
    mount_path  = "auth/${spec.approleMount}"${namespace.replace('\n', '\n  ')}
    min_backoff = "1s"
    max_backoff = "10s" # else a customer waits up to five minutes after an outage of Vault
    config = {
      role_id_file_path   = "${folder}/role-id"
      secret_id_file_path = "${folder}/secret-id"
${spec.wrapped ? WRAPPED.replace('ROLE', `auth/${spec.approleMount}/role/${tenant}`) : KEPT}
    }
  }
}
${door.kind === 'kv' ? looks(door.interval) : ''}
${process === undefined ? inFile(contentsOf(spec), spec.destination ?? `${folder}/token`) : inProcess(contentsOf(spec), process)}`;
}

const KEPT = `
      # The Agent's default is true: it then can't log in after a restart. The file is read again at each login, so that a secret_id is
      # rotated by writing a new one into it.
      remove_secret_id_file_after_reading = false`;

const WRAPPED = `
      # The file holds a wrapping token that opens once; the Agent checks where it was made, and deletes the file. After a restart of the
      # Agent somebody must bring another.
      secret_id_response_wrapping_path    = "ROLE/secret-id"
      remove_secret_id_file_after_reading = true`;

const looks = (interval: number): string => `
# KV doesn't say how long its documents are good: an Agent looks each five minutes unless told. It must look more often than the broker's
# lead, the time between a new token in KV and the end of the one before.
template_config {
  static_secret_render_interval = "${interval}s"
}
`;

function contentsOf({ tenant, door }: AgentSpecification): string {
  if (door.kind === 'kv') return `{{ with secret \\"${door.mount}/data/${tenant}/${door.api}\\" }}{{ .Data.data.access_token }}{{ end }}`;
  const query = door.audience === undefined ? '' : `?audience=${encodeURIComponent(door.audience)}`;
  return `{{ with secret \\"${door.mount}/creds/${tenant}${query}\\" }}{{ .Data.access_token }}{{ end }}`;
}

const inFile = (contents: string, destination: string): string => `template {
  contents             = "${contents}"
  destination          = "${destination}"
  perms                = "0600"
  error_on_missing_key = true # rather the old token than <no value>
}
`;

const inProcess = (contents: string, { command, variable }: { command: readonly string[]; variable: string }): string => `exec {
  command                   = [${command.map((word) => `"${word}"`).join(', ')}]
  restart_on_secret_changes = "always"
  restart_stop_signal       = "SIGTERM"
}

env_template "${variable}" {
  contents             = "${contents}"
  error_on_missing_key = true
}
`;
