import type { Command } from 'commander';
import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { compareTokens } from '#broker/operator/migration/compare.ts';
import type { Difference } from '#broker/operator/migration/compare.ts';
import type { Mapped } from '#broker/operator/migration/mapping.ts';
import { withProbe } from '#broker/operator/migration/probe.ts';
import { httpsOrLoopback } from '#broker/loopback.ts';
import type { Context } from '#cli/command/context.ts';
import { ownExchange } from '#cli/command/management.ts';
import { brokerUrl } from '#cli/command/token.ts';
import { exchange } from '#cli/command/token/exchange.ts';
import { decodeAndVerify } from '#cli/command/token/verify.ts';
import type { DecodedToken } from '#cli/command/token/verify.ts';
import { trustForBroker } from '#cli/command/vault-access.ts';
import { JOURNAL, mappingOf, named, openJournal, printable, requireSameTenant } from './migration.ts';
import type { MigrationOptions } from './migration.ts';
import { oldSecrets } from './old-secrets.ts';

interface Options extends MigrationOptions {
  secretFile?: string;
  accept: string[];
  url?: string;
  issuer?: string;
}

/** What one API's two tokens are to services. */
interface Compared {
  client_id: string;
  tenant: string;
  api: string;
  /** Whether services would notice, or why there is no answer. */
  outcome: 'same' | 'noticed' | 'failed';
  fault: string | null;
  /** Which side gave no token that services take; null: none, or neither was asked. */
  failed: 'old' | 'new' | null;
  differences: Difference[];
}

export function verifyCommand(context: Context): Command {
  return context
    .command('verify', 'exchange both ways, at Auth0 and at the broker, and compare what services would see', [
      ['postern migrate verify plan.json 4yvGxZ2pXkQ7 --secret-file old-secret', "its application's secret: a file of 0600, or stdin"],
      ['postern migrate verify plan.json --secret-file secrets.jsonl', 'many: {"client_id": "…", "client_secret": "…"} a line'],
      ['postern migrate verify plan.json --accept iss < secrets.jsonl', 'services trust the new issuer already'],
    ])
    .argument('<plan>')
    .argument('[client_id]', 'only this one')
    .option('--secret-file <file>', "the old application's secret, or all of them (default: stdin)")
    .option(
      '--accept <claim>',
      'services are ready for this difference; repeatable',
      (one: string, all: string[]) => [...all, one],
      [] as string[],
    )
    .option('--url <url>', 'the broker [$POSTERN_URL] (default: http://127.0.0.1:8080)')
    .option('--issuer <url>', "where the applications get their tokens, e.g. your custom domain (default: the plan's domain)")
    .option(...JOURNAL)
    .addHelpText(
      'after',
      `
Each API costs one token of Auth0's quota. The tenant's side is tried with a secret_id that lives for two minutes and is
revoked afterwards: the one for the customer stays wrapped. The answer is written to the journal, by which \`retire\` goes.`,
    )
    .action(
      context.vaultAction<Options, [string, string | undefined]>(async ({ access, options, output, terminal, end }, file, only) => {
        const { env, signal } = terminal;
        const mapping = await mappingOf(terminal, file);
        requireSameTenant(mapping, env);
        const asked = named(mapping, only === undefined ? [] : [only]);
        const secrets = await oldSecrets(terminal, output, { file: options.secretFile, clientId: only });
        const unknown = [...secrets.keys()].filter((id) => !mapping.applications.some((one) => one.client_id === id));
        if (unknown.length > 0) output.warn(`the plan has no application ${unknown.map(printable).join(', ')}: left out`);
        const issuer = issuerOf(options.issuer ?? mapping.domain);
        const url = brokerUrl(options.url ?? env['POSTERN_URL']);
        await trustForBroker(options, terminal);
        const [apis, { exchangeOwn }] = await Promise.all([readApis(access), ownExchange()]);
        const journal = await openJournal(options, file, mapping);
        const results: Compared[] = [];
        try {
          const chosen = asked.filter(({ client_id: id, migrate }) => migrate && secrets.has(id));
          const count = output.counter('applications');
          for (const [index, one] of chosen.entries()) {
            signal.throwIfAborted();
            const { client_id: clientId } = one;
            const compared = await both(access, one, apis, {
              before: (audience) =>
                exchangeOwn({
                  issuer,
                  clientId,
                  clientSecret: secrets.get(clientId) ?? '',
                  audience,
                  organization: one.organization ?? undefined,
                  signal,
                }),
              after: async (credential, audience) => (await exchange({ url, credential, audience, signal })).accessToken,
              accept: options.accept,
              isShared: (id) => (journal.shared.has(id) ? undefined : journal.note({ shared: id, at: new Date().toISOString() })),
            });
            results.push(...compared);
            if (compared.length > 0 && compared.every(({ outcome }) => outcome !== 'failed')) {
              const of = (weight: Difference['weight']): string[] => [
                ...new Set(
                  compared.flatMap(({ differences }) => differences.filter((two) => two.weight === weight).map(({ claim }) => claim)),
                ),
              ];
              const noticed = of('noticed').filter((claim) => !options.accept.includes(claim));
              await journal.note({ verified: clientId, at: new Date().toISOString(), noticed, changed: of('changes') });
            } else if (compared.some(({ failed }) => failed === 'new')) {
              // What was compared before holds no longer.
              await journal.note({ verified: clientId, at: new Date().toISOString(), noticed: ['no token'], changed: [] });
            }
            count(index + 1, chosen.length);
          }
        } finally {
          await journal.close();
        }
        const same = results.filter(({ outcome }) => outcome === 'same').length;
        output.result(
          { accepted: options.accept, comparisons: results },
          output.table(
            ['CLIENT_ID', 'TENANT', 'API', 'OUTCOME', 'DIFFERENCES'],
            results.map((one) => [one.client_id, one.tenant, one.api, one.outcome, printable(one.fault ?? told(one.differences))]),
          ),
        );
        output.note(
          results.length === 0
            ? 'Nothing was compared: no application that is to migrate has its secret among those given.'
            : `${same} of ${results.length} comparisons: services would not notice, unless they go by who the caller is`,
        );
        if (same < results.length || results.length === 0) end(6);
      }),
    );
}

interface Sides {
  before: (audience: string) => Promise<string>;
  after: (credential: { clientId: string; clientSecret: string }, audience: string) => Promise<string>;
  accept: readonly string[];
  isShared: (clientId: string) => Promise<void> | undefined;
}

async function both(access: VaultAccess, one: Mapped, apis: ReadonlyMap<string, Api | undefined>, sides: Sides): Promise<Compared[]> {
  const { client_id, tenant, grants } = one;
  const results: Compared[] = [];
  const refused = (api: string, failed: Compared['failed'], error: unknown): void => {
    if (!(error instanceof PosternError)) throw error;
    const fault = error.detail === undefined ? error.message : `${error.message}. ${error.detail}`;
    results.push({ client_id, tenant, api, outcome: 'failed', fault, failed, differences: [] });
  };
  const oldToken = async (audience: string): Promise<DecodedToken> => {
    const decoded = await decodeAndVerify(await sides.before(audience), audience);
    if (decoded.fault === undefined) return decoded;
    throw new PosternError('misconfigured', `services would refuse the old token: ${decoded.fault}`);
  };
  const newToken = async (credential: { clientId: string; clientSecret: string }, audience: string): Promise<DecodedToken> => {
    const decoded = await decodeAndVerify(await sides.after(credential, audience), audience);
    if (decoded.fault === undefined) return decoded;
    throw new PosternError('misconfigured', `services would refuse the new token: ${decoded.fault}`);
  };
  try {
    await withProbe(access, tenant, async (credential) => {
      for (const { api: name } of grants) {
        let side: Compared['failed'] = null;
        try {
          const audience = apis.get(name)?.audience;
          if (audience === undefined) throw new PosternError('not_found', `Vault has no API "${name}"`);
          side = 'old';
          const old = await oldToken(audience);
          side = 'new';
          const fresh = await newToken(credential, audience);
          const differences = compareTokens(old, fresh);
          const noticed = differences.some(({ weight, claim }) => weight === 'noticed' && !sides.accept.includes(claim));
          results.push({ client_id, tenant, api: name, outcome: noticed ? 'noticed' : 'same', fault: null, failed: null, differences });
          const { azp, client_id: id } = fresh.claims;
          // Made by Auth0, so by an application that may never be retired.
          const shared = azp ?? id;
          if (fresh.claims.iss === old.claims.iss && typeof shared === 'string') await sides.isShared(shared);
        } catch (error) {
          refused(name, side, error);
        }
      }
    });
  } catch (error) {
    refused('-', null, error);
  }
  return results;
}

function told(differences: readonly Difference[]): string {
  const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
  return differences
    .filter(({ weight }) => weight !== 'same')
    .map(({ claim, before, after, meaning, weight }) => `${claim} (${weight}): ${shown(before)} -> ${shown(after)}: ${meaning}`)
    .join('; ');
}

/** With its slash. @throws {PosternError} invalid_request */
function issuerOf(domain: string): string {
  const url = URL.parse(domain.includes('://') ? domain : `https://${domain}`);
  if (url !== null && httpsOrLoopback(url) && url.username === '' && url.pathname === '/' && url.search === '' && url.hash === '')
    return url.href;
  throw new PosternError('invalid_request', 'The old secrets are sent to no address but https://DOMAIN/', { detail: 'Set --issuer.' });
}
