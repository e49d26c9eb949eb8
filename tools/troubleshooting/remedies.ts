/**
 * What to do about messages that don't say it themselves, by the message as {@link messages} gives it. An error that has a `detail` needs no
 * line here, nor does one of {@link TELLING}; a test says which are missing or no longer said.
 */
export const REMEDIES: Readonly<Record<string, string>> = {
  // The broker to clients.
  'Client "…" is not authorized to access resource server "…". It needs a grant for this API.':
    '`postern tenant grant list TENANT`; then `postern tenant grant add TENANT API`, or `tenants` in Terraform',
  'Client "…" is not authorized to access resource server "…". Its key is limited to scopes of other APIs.':
    'use another key, or issue one with a scope of this API: `postern key issue TENANT --scope …`',
  'Client is not authorized to access this organization':
    "leave `organization` out, or send the tenant's own: `postern tenant show TENANT`",
  'No audience parameter was provided, and no default audience has been configured': 'send `audience`, or give the tenant a `default_api`',
  'Service not enabled within domain: …': 'no API has this audience, letter by letter: `postern api list`',
  'Client is disabled':
    '`postern tenant show TENANT` says by whom; `postern tenant enable TENANT`, or `disabled` and `retired` in Terraform',
  Unauthorized:
    'the client_id or its secret is wrong, revoked or ended, which look alike from outside: `postern who CLIENT_ID`, `postern key identify`, the audit',
  'Client is not allowed from this address':
    'the credential is bound to other addresses (`postern tenant show TENANT`); behind a proxy see POSTERN_TRUSTED_PROXIES and POSTERN_FORWARD_CLIENT_ADDRESS',
  'Too many wrong credentials, try again later':
    'wait for `Retry-After`; whoever sends wrong credentials is in the audit (`postern audit query`); POSTERN_THROTTLE_ADDRESS and POSTERN_THROTTLE_CLIENT say how many are let through',
  'Too many requests': 'wait for `Retry-After`; see the metric `postern_throttled_total` and POSTERN_THROTTLE_ADDRESS',
  'An API key is required': 'send it as `Authorization: Bearer …` or `X-API-Key`; does the gateway pass the header on (docs/gateway.md)?',
  'The API key lacks a scope that the gateway requires': 'issue a key with that scope, or mend the gateway (docs/gateway.md)',
  'Service temporarily unavailable':
    "the broker's log has the reason beside the request id; `postern doctor` looks at everything that it needs",
  'The request took too long': 'the client sent its request too slowly: look at its network or proxy',
  'Not Found': 'the address is none of the endpoints in docs/reference.md; is the path behind a proxy right?',
  'The token is being issued, try again': 'try again after `Retry-After`; if it stays, Auth0 or Vault is slow: `postern doctor`',
  'The token issuer is not available': "Auth0 or Vault can't issue one now: the broker's log says why; docs/outages.md",
  'Somebody else writes there': 'another replica publishes this token: nothing to do, unless it stays (`postern_publications_failing`)',
  "Your organization's people make no keys of their own here": 'an operator sets `self_service` for the tenant (docs/user-keys.md)',
  'You have no key of this id': 'list your keys and take an id from there',
  "Your organization's people have … keys, which is as many as they may have": "revoke some, or raise the tenant's `self_service.keys`",
  'You have … keys, which is as many as you may have: revoke one first': 'revoke one, or have `self_service.keys_per_user` raised',
  'Too many keys of this tenant have other names already: rotate or make one with the name wanted':
    'revoke keys that are no longer used: `postern key list TENANT`',
  "The keys of … can't be had: …":
    "the issuer's discovery document or key set doesn't answer as it should: try that address from the broker's machine",
  'What this tenant may have is being changed': 'try again in a second',
  'More than one client trusts this token: send client_id':
    'send `client_id` with it: `postern trust list TENANT` has those that trust its issuer',
  'Missing required parameter: client_id': 'send it in the body or by HTTP Basic',
  'Too many different sets of scopes are in use at this API (…): ask for one of those, or leave scope out to get all that is granted':
    'let workloads leave `scope` out, or ask for one of few sets',
  'Client is not set up':
    "the tenant's role, document or registered key in Vault is not what it should be: the log says which; `postern tenant show TENANT`, `postern doctor`, `terraform plan`",
  '… in Vault is not valid': 'somebody wrote there by hand: `terraform apply`, or restore an older version (`vault kv rollback`)',
  'Too many requests: … may send … a …':
    "wait for `Retry-After`; the tenant's or the key's own limit is told by `postern tenant show` and `postern key list` (docs/rate-limits.md)",
  'There is no tenant "…"': '`postern tenant list` has those that there are',
  '… is not published': 'publish it: `postern tenant create TENANT --update --publish API`, or `publish` in Terraform (docs/sidecar.md)',
  // Commands.
  'Auth0 cannot be reached at …: …': 'is AUTH0_DOMAIN right, and does this machine reach it? HTTPS_PROXY names a proxy',
  'Auth0 answered … (…)': "what Auth0 said stands in it: its log has the request; see Auth0's status page, try again",
  'Vault has no API "…"': '`postern api list` has those that there are; Terraform makes one',
  'services would refuse the old token: …': "the application's own token doesn't pass today: mend that first (docs/migrate.md)",
  'services would refuse the new token: …': "compare Postern's API with Auth0's: issuer, audience, scopes, dialect (docs/migrate.md)",
  '… at …': "Vault doesn't answer there: is VAULT_ADDR right (http or https?), its certificate trusted (VAULT_CACERT), and Vault started?",
  'Vault has more than can be taken to …': 'the answer was too large: look for what fills that path, and ask for less at a time',
  'Vault answers at another address': 'it redirects: set VAULT_ADDR to the address that it names, or to one in front of the active node',
  'Vault does not let you in as …':
    'your Auth0 user lacks the word in the roles claim (terraform/README.md), or the role: `--role auditor`',
  'The broker cannot be reached at …: …': 'is it started, and is the address its POSTERN_ISSUER? With a private CA: `--cacert`',
  'The broker refuses (… …)': 'look the words up under "What brokers say"',
  'Nothing was changed': 'you said no, or there was nobody to ask: `--yes` does not ask',
  'Cancelled: nothing was changed': 'run it again when you want it',
  '… has no API key …': '`postern key list TENANT` has the ids; `postern key identify` tells whose a key is',
  'The rotation ended without a new key': 'run it again: it goes on where it ended',
  'it was interrupted': 'run it again: it goes on where it ended',
  'Auth0 has nothing there to …': 'is AUTH0_DOMAIN the right Auth0 tenant, and was Terraform applied to it?',
  'Auth0 answered … when asked to …': "see Auth0's status page and log; try again",
  'Vault answered without a secret_id': 'is VAULT_ADDR that of Vault itself? A proxy may have changed the answer',
  'Vault answered without a wrapping token': 'is VAULT_ADDR that of Vault itself? A proxy may have changed the answer',
  '… has … trusts already': '`postern trust list TENANT`; `postern trust remove` one that is no longer used',
  'Versions before …… are retired already, for good': 'name a newer version: `postern signing-key list`',
  '… in Vault is not a signing key': 'POSTERN_TRANSIT_KEY and the mount must be those of Terraform (`terraform output transit_key`)',
  'The upgrade failed (…); …/ runs … as before': "Vault's log says why; the old version goes on. See docs/plugin.md",
  'Nobody is logged in here: there is no token in ~/.vault-token': 'nothing to do: `postern login` logs in',
  '… does not answer: …': 'is the broker started, and is the address that of POSTERN_LISTEN?',
  'The broker at … is not ready…': "`postern doctor` and the broker's log say what it waits for",
  'The wrapping token holds no secret_id': 'it is of something else, or was used before: issue another with `postern secret issue`',
  'The broker is not a part of this program': 'this executable is the CLI alone: install the whole package (docs/install.md)',
  'The file is too large for a …': 'is it the right file?',
  'The configuration has … fault:\n…': 'each fault names its setting: docs/reference.md has them all; `postern serve --check` tries them',
  'The configuration has … faults:\n…': 'each fault names its setting: docs/reference.md has them all; `postern serve --check` tries them',
  'HTTPS_PROXY or HTTP_PROXY is not an http or https URL': 'write it as `http://proxy.example.com:3128`, or unset it',
  '… …': 'the file that the setting names is missing, empty or readable by others: mend it',
  'Too many replaced keys go on still: revoke one, or rotate without an overlap':
    'revoke one that nobody uses any more, or rotate without an overlap',
};

/** Codes of what is wrong with a request or a command line: the message says what is wanted. */
export const TELLING: ReadonlySet<string> = new Set([
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'unsupported_grant_type',
  'unsupported_token_type',
  'unsupported_media_type',
  'payload_too_large',
  'header_fields_too_large',
  'method_not_allowed',
]);
