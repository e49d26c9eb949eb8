/**
 * What somebody else's program may see of our environment: where it finds itself, its home, its language and the way to the network.
 * Nothing that steers it, such as TF_CLI_ARGS, VAULT_CACERT, NODE_OPTIONS or GIT_DIR, which a person has set for other work.
 */
const KEPT = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'TZ',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  // Marks what a run of the tests has started, so that its end finds it (test/run.ts).
  'POSTERN_TEST_RUN',
]);

/** The language, the XDG folders, and what version managers need whose shims stand on PATH. */
const FAMILIES = /^(LC|XDG|ASDF|MISE|RTX|TFENV|TENV|PYENV|GOENV|PROTO|AQUA|NIX|HOMEBREW)_/;

/** Where Go fetches from, by the user's own settings, and where it keeps what it made. Not GOFLAGS or GOOS, which change what it makes. */
const GO = /^GO(PROXY|NOPROXY|PRIVATE|(NO)?SUMDB|INSECURE|VCS|AUTH|(MOD)?CACHE|PATH|ROOT|ENV|TOOLCHAIN)$|^(NETRC|GIT_SSL_CAINFO)$/;

/** The user's own mirror of Terraform's registry, and the credentials for it. */
const TERRAFORM = /^TF_CLI_CONFIG_FILE$|^TF_TOKEN_/;

/** The user's own mirror of Python's packages. Not PIP_USER, PIP_REQUIRE_VIRTUALENV and others that change what pip does. */
const PIP =
  /^PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|CLIENT_CERT|PROXY|CONFIG_FILE|CACHE_DIR|KEYRING_PROVIDER)$|^(REQUESTS|CURL)_CA_BUNDLE$/;

const MORE = { go: GO, terraform: TERRAFORM, pip: PIP } as const;

/**
 * The environment of a program that isn't ours.
 *
 * @param fetches whose settings of where to fetch from are passed on
 */
export function cleanEnvironment(env: NodeJS.ProcessEnv, fetches?: keyof typeof MORE): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (KEPT.has(name) || FAMILIES.test(name) || (fetches !== undefined && MORE[fetches].test(name))) kept[name] = value;
  }
  return kept;
}
