import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Settings } from './config-schema.ts';
import { httpsOrLoopback } from './loopback.ts';

/** Whether only this machine can reach the address. */
function onLoopback(listen: string): boolean {
  const url = URL.parse(`http://${listen}`);
  return url !== null && httpsOrLoopback(url);
}

const LISTENERS = ['POSTERN_LISTEN', 'POSTERN_ADMIN_LISTEN', 'POSTERN_METRICS_LISTEN'] as const;

/** Two listeners that the system would not give the same port, which only shows when the second one begins. */
export function portFaults(settings: Pick<Settings, (typeof LISTENERS)[number]>): string[] {
  const given = LISTENERS.flatMap((name) => {
    const listen = settings[name];
    const colon = listen?.lastIndexOf(':') ?? -1;
    return listen === undefined ? [] : [{ name, host: listen.slice(0, colon).toLowerCase(), port: Number(listen.slice(colon + 1)) }];
  });
  return given.flatMap((one, at) =>
    given
      .slice(at + 1)
      .filter(({ host, port }) => port !== 0 && port === one.port && (host === one.host || [host, one.host].some(isEverywhere)))
      .map(({ name }) => `${one.name} and ${name} must be two addresses`),
  );
}

const isEverywhere = (host: string): boolean => host === '0.0.0.0' || host === '[::]';

/** Whether two paths lead to one file, which log and audit would write into across each other. */
export function isSameFile(one: string, other: string): boolean {
  if (resolve(one) === resolve(other)) return true;
  const [a, b] = [one, other].map((path) => statSync(path, { throwIfNoEntry: false, bigint: true }));
  return a !== undefined && b !== undefined && a.isFile() && a.dev === b.dev && a.ino === b.ino;
}

/** Customers' secrets and tokens go over no network in the clear, and verifiers fetch their keys over TLS. */
export function clearTextFaults(settings: Settings, tls: object | undefined): string[] {
  if (settings.POSTERN_BEHIND_TLS_PROXY) return [];
  const faults: string[] = [];
  const unless = 'POSTERN_BEHIND_TLS_PROXY=true where a proxy of yours ends TLS';
  if (tls === undefined && !onLoopback(settings.POSTERN_LISTEN))
    faults.push(`POSTERN_LISTEN is not on loopback, so it needs POSTERN_TLS_CERT_FILE and POSTERN_TLS_KEY_FILE (or ${unless})`);
  if (!httpsOrLoopback(new URL(settings.POSTERN_ISSUER)))
    faults.push(`POSTERN_ISSUER must be https (http only on loopback, or with ${unless})`);
  return faults;
}

/** Every operator's request carries a credential that may do everything, so none goes over a network in the clear. */
export function adminFaults(settings: Settings, tls: object | undefined): string[] {
  const faults: string[] = [];
  const {
    POSTERN_ADMIN_LISTEN: listen,
    POSTERN_ADMIN_BEHIND_TLS_PROXY: proxied,
    POSTERN_ADMIN_AUDIENCE: audience,
    POSTERN_AUTH0_ISSUER: issuer,
  } = settings;
  if (tls === undefined && !proxied && !onLoopback(listen!)) {
    faults.push(
      'POSTERN_ADMIN_LISTEN is not on loopback, so it needs POSTERN_ADMIN_TLS_CERT_FILE and POSTERN_ADMIN_TLS_KEY_FILE ' +
        '(or POSTERN_ADMIN_BEHIND_TLS_PROXY=true where a proxy of yours ends TLS)',
    );
  }
  if (audience !== undefined && issuer === undefined)
    faults.push('POSTERN_ADMIN_AUDIENCE needs POSTERN_AUTH0_ISSUER, which issues the tokens for it');
  if (settings.POSTERN_CONSOLE_CLIENT_ID !== undefined && audience === undefined)
    faults.push('POSTERN_CONSOLE_CLIENT_ID needs POSTERN_ADMIN_AUDIENCE: the console calls the admin API with an access token for it');
  return faults;
}

/** What the settings of self-service lack. */
export function selfFaults({
  POSTERN_SELF_AUDIENCE: audience,
  POSTERN_AUTH0_ISSUER: issuer,
  POSTERN_ADMIN_AUDIENCE: admin,
}: Pick<Settings, 'POSTERN_SELF_AUDIENCE' | 'POSTERN_AUTH0_ISSUER' | 'POSTERN_ADMIN_AUDIENCE'>): string[] {
  if (audience === undefined) return [];
  return [
    ...(issuer === undefined ? ['POSTERN_SELF_AUDIENCE needs POSTERN_AUTH0_ISSUER, which issues the tokens for it'] : []),
    ...(audience === admin
      ? ['POSTERN_SELF_AUDIENCE and POSTERN_ADMIN_AUDIENCE are two APIs at Auth0: one is for people, the other for operators']
      : []),
  ];
}
