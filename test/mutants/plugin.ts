import type { Mutants } from './mutant.ts';

export const plugin: Mutants = {
  'broker/plugin/engine/credentials.ts': [
    [
      'reader-not-asked',
      ' || !(await this.#isReader(tenant, reader))) throw',
      ') throw',
      "who had the tenant's name before reads its tokens",
    ],
    [
      'role-changed-while-waiting',
      ' && this.#options.roles.isCurrent(tenant))\n',
      ')\n',
      'a role disabled while Auth0 was asked gets a token',
    ],
    [
      'config-changed-while-waiting',
      'if (held !== undefined && basis === issuance.basis && ',
      'if (held !== undefined && ',
      'a token of a former API or configuration is handed out',
    ],
    [
      'dropped-but-in-memory',
      '      // Last: who read storage before that is under way or in memory.\n      this.forgetTenant(tenant);',
      '',
      'a dropped token is served from memory',
    ],
    ['drop-keeps-storage', 'await records.delete(place);', '', 'a dropped token is served from storage'],
    [
      'reset-keeps-issuance',
      '    this.#current = undefined;\n    this.#issuance?.judgeAnew();',
      '    this.#issuance?.judgeAnew();',
      'the former configuration goes on',
    ],
    [
      'moved-api-in-memory',
      '    this.#issuance?.cache.forget((grant) => grant.api === name);\n',
      '',
      'a token in memory is one of an API that has gone, and is not found where the next of its audience keeps its own',
    ],
    [
      'source-for-each-change',
      'if (this.#source?.madeFrom === madeFrom) return this.#source.source;',
      '',
      'a change of the configuration forgets the pause that Auth0 asked for',
    ],
    ['former-application', 'upstreamAgeMs: 0,', 'upstreamAgeMs: 60_000,', "tokens are asked for in the former application's name"],
    ['adopts-disabled', 'tenant.role.disabled || ', '', 'a disabled role gets its tokens back into memory'],
    ['adopts-other-grant', 'grant.digest === record.grant && ', '', 'a stored token of another grant is fetched again'],
    [
      'invalidate-ignored',
      'this.#issuance?.cache.forget((grant) => grant.tenant === tenant && grant.api === api);',
      '',
      'a standby serves what the active node removed',
    ],
  ],
  'broker/plugin/engine/issuance.ts': [
    [
      'issued-without-second-look',
      'if (!(await this.#isStillGranted(grant))) throw new Superseded();',
      '',
      'a token is stored though the role was disabled meanwhile',
    ],
    ['still-granted-by-key', 'if (again?.key !== key) return false;\n', '', 'a token with scopes that were taken away is stored'],
    ['still-granted-by-other', '!this.isFor(config) || ', '', 'a token of the former configuration is stored'],
    ['still-granted-ended', 'this.#ended || config', 'config', 'a token is stored by what was granted before the configuration went'],
  ],
  'broker/plugin/engine/roles.ts': [
    ['role-kept', 'if (known !== undefined) this.#superseded.add(known);', '', 'who waits gets what the former role allowed'],
    [
      'invalid-role-enabled',
      'z.boolean().catch(true)',
      'z.boolean().catch(false)',
      'who replaces a role that is not valid enables a disabled tenant by the way',
    ],
    ['role-remembered', '    this.#tenants.delete(name);\n  }', '  }', 'a removed role goes on'],
    [
      'slow-reading-kept',
      'if (this.#tenants.peek(name) !== reading) {',
      'if (tenant?.role === null) {',
      'a reading from before a change is kept',
    ],
    [
      'failed-reading-kept',
      'if (this.#tenants.peek(name) === reading) this.#tenants.delete(name);\n      },',
      '},',
      "one failure of Vault's storage lasts",
    ],
    [
      'unchecked-role-name',
      '(await this.#records.list(PREFIX)).filter((name) => NAME.test(name))',
      'await this.#records.list(PREFIX)',
      'folders are listed as roles',
    ],
  ],
  'broker/plugin/engine/apis.ts': [
    [
      'slow-catalog-kept',
      'if (this.#reading === reading) this.#catalog = catalog;',
      'this.#catalog = catalog;',
      'a catalogue from before a change is kept',
    ],
    ['management-stored', ' && !isManagementAudience(found.audience)', '', 'a stored Management API is issued for'],
    [
      'api-change-untold',
      '    this.#catalog = catalog.with(name, after);\n    this.#onChange(name);',
      '    this.#catalog = catalog.with(name, after);',
      'grants of a former API go on',
    ],
    [
      'api-invalidation-untold',
      '    this.#reading = undefined;\n    this.#onChange(name);',
      '    this.#reading = undefined;',
      'a standby grants by a former API',
    ],
    [
      'failed-write-kept',
      '      this.forget(name);\n      throw error;',
      '      throw error;',
      'an API that was changed in spite of the error goes on as it was',
    ],
  ],
  'broker/plugin/engine/token-records.ts': [
    ['no-check-and-set', 'if ((found?.version ?? 0) !== version) return undefined;', '', 'two nodes overwrite each other'],
    [
      'place-unchecked',
      'if (!NAME.test(tenant) || !NAME.test(api) || (digest !== WHOLE && !DIGEST.test(digest))) throw',
      "if (tenant === '') throw",
      'a name with a slash reaches another place',
    ],
    ['version-comes-back', 'Math.max(version + 1, this.#now())', 'version + 1', 'a deleted place is taken for unchanged'],
    [
      'removed-alive',
      'Math.max(expiresAt * 1000, lease?.until ?? 0) + KEPT < this.#now()',
      'Math.max(expiresAt * 1000, lease?.until ?? 0) - 3_600_000 < this.#now()',
      'tokens that are alive are removed',
    ],
  ],
  'broker/plugin/engine/entities.ts': [
    [
      'root-is-client',
      "if (entityId === '') return false;",
      "if (entityId === '') return true;",
      'whoever has a root token is every client',
    ],
    [
      'alias-of-any-method',
      "aliases.filter(({ mountType }) => mountType === 'approle')",
      'aliases',
      'a user of another method with that name is the client',
    ],
    [
      'metadata-half',
      'metadata[TENANT] === tenant && metadata[CLIENT] === clientId',
      'metadata[TENANT] === tenant',
      'a former workload of the name is the client',
    ],
    ['entity-for-ever', 'known !== undefined && this.#monotonic() < known.until', 'known !== undefined', 'a changed entity is never seen'],
  ],
  'broker/plugin/engine/config.ts': [
    [
      'previous-for-ever',
      'previous === undefined || until < now ? [secret]',
      'previous === undefined ? [secret]',
      'a rotated secret is tried for ever',
    ],
    [
      'previous-of-other-client',
      '...(clientId === config.client_id ? {',
      '...(clientId !== "" ? {',
      "one application's secret is tried with another's id",
    ],
    [
      'unsaved-is-lost',
      'if (this.#unsaved !== undefined) return Promise.resolve(this.#unsaved);',
      '',
      'the only copy of a rotated secret is not used',
    ],
    ['http-issuer', '    httpsOrLoopback(url) &&\n', '', 'the client secret goes over the network in the clear'],
  ],
  'broker/plugin/engine/path/role.ts': [
    [
      'invalid-role-opened',
      '(!left?.client_id && values.client_id === undefined)',
      'false',
      'who replaces a role that is not valid opens it to everybody of that name',
    ],
  ],
  'broker/plugin/engine/path/config.ts': [
    [
      'secret-to-other-issuer',
      'if (before.issuer !== issuer) throw',
      "if (before.issuer === '') throw",
      'who may change the issuer has the secret sent to a server of their own',
    ],
    [
      'secret-for-other-client',
      'if (before.client_id !== clientId) throw',
      "if (before.client_id === '') throw",
      "one application's secret goes out under another's id",
    ],
    [
      'secret-shown',
      '    client_id,\n    management_client_id: management',
      '    client_id,\n    client_secret: config.client_secret,\n    management_client_id: management',
      'the secret comes out',
    ],
    [
      'management-is-shared',
      'if (management?.client_id === clientId)\n',
      "if (management?.client_id === '')\n",
      "the tenants' application may rotate secrets",
    ],
  ],
  'broker/plugin/engine/engine.ts': [
    [
      'role-invalidation',
      "mounted.credentials.forgetTenant(key.slice('roles/'.length));",
      '',
      'a standby serves the tokens of a role that the active node changed',
    ],
    [
      'unsealed-tokens',
      'sealWrapStorage: [CONFIG_KEY, CACHE, SHARED]',
      'sealWrapStorage: [CACHE, SHARED]',
      'the secret lies in storage without seal wrap',
    ],
  ],
  'broker/plugin/engine/upkeep.ts': [
    ['standby-writes', '!performanceStandby && !drSecondary && ', '', 'a standby writes'],
    [
      'ended-kept',
      'if (records.hasEnded(found)) await records.deleteEnded(place);\n        else if',
      'if',
      'ended tokens fill the storage',
    ],
  ],
};
