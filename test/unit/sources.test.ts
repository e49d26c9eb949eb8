import { describe, expect, test } from 'vitest';
import { readConfig } from '#broker/config.ts';
import { NAME } from '#broker/credential/identity.ts';
import { SOURCE_NAMES, SOURCES } from '#broker/sources.ts';
import type { SourceSurroundings } from '#broker/sources.ts';

const ISSUER = 'https://tokens.example.com/';
const AUTH0 = 'https://acme.eu.auth0.com/';
const environment = { POSTERN_ISSUER: ISSUER, VAULT_ADDR: 'https://vault.example.com', POSTERN_ROLE_ID: 'r', POSTERN_SECRET_ID: 's' };

function configured(env: Record<string, string> = {}) {
  const upstreams: string[] = [];
  const config = readConfig({ ...environment, ...env });
  const surroundings = {
    issuer: ISSUER,
    tenantClaim: 'https://postern.dev/tenant',
    jwksMaxAgeMs: 300_000,
    upstream(source: string) {
      upstreams.push(source);
      return { readUpstream: () => Promise.reject(new Error('not asked for')) };
    },
    warn: () => {},
  } as unknown as SourceSurroundings;
  return { sources: SOURCES.flatMap((source) => source.configure(config, surroundings) ?? []), upstreams };
}

describe('the registry of token sources', () => {
  test('has each name once, and settings that cannot take the place of another', () => {
    expect(new Set(SOURCE_NAMES).size).toBe(SOURCES.length);
    const settings = SOURCES.flatMap((source) => Object.keys(source.settings));
    expect(new Set(settings).size).toBe(settings.length);
    for (const source of SOURCES) {
      expect(source.name).toMatch(NAME);
      for (const setting of Object.keys(source.settings)) expect(setting).toMatch(new RegExp(`^POSTERN_${source.name.toUpperCase()}_`));
    }
  });

  test('has checks for the doctor under the same names', async () => {
    expect((await Promise.all(SOURCES.map((source) => source.checks()))).map(({ name }) => name)).toEqual(SOURCE_NAMES);
  });

  test('configures those that the settings name, each with its issuer and its own credential', () => {
    expect(configured().sources.map(({ name, issuer }) => [name, issuer])).toEqual([['transit', ISSUER]]);
    const { sources, upstreams } = configured({ POSTERN_AUTH0_ISSUER: AUTH0 });
    expect(sources.map(({ name, issuer, judge }) => [name, issuer, judge.issuer])).toEqual([
      ['transit', ISSUER, ISSUER],
      ['auth0', AUTH0, AUTH0],
    ]);
    expect(upstreams).toEqual(['auth0']);
  });

  test('has one source whose keys the broker publishes: that whose issuer it is', () => {
    const { sources } = configured({ POSTERN_AUTH0_ISSUER: AUTH0 });
    expect(sources.filter(({ keys }) => keys !== undefined).map(({ issuer }) => issuer)).toEqual([ISSUER]);
  });
});
