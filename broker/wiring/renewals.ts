import type { Config, Tls } from '#broker/config.ts';
import type { Logger } from '#broker/log.ts';
import { pemBlocks } from '#broker/pem.ts';
import { FileFault, outOfTime, readCertificates, readTlsPair } from '#broker/tls-pair.ts';
import type { TlsPair } from '#broker/tls-pair.ts';
import { readProxies } from '#broker/trusted-proxies.ts';
import { Renewal } from './renewal.ts';

const countOf = (pem: string): number => pemBlocks(pem).length;

/** A listener's certificate and key. @param use throws where OpenSSL refuses the pair */
export function certificateRenewal(tls: Tls, log: Logger, use: (pair: TlsPair) => void): Renewal<TlsPair> {
  const { files } = tls;
  const { setting } = files.cert;
  const warnOfTime = ({ cert }: TlsPair): void => {
    const why = outOfTime(cert, Date.now());
    if (why !== undefined) log.warn({ file: setting }, `the certificate ${why}`);
  };
  warnOfTime(tls);
  return new Renewal<TlsPair>({
    what: 'certificate',
    setting,
    log,
    used: tls,
    read(used) {
      const pair = readTlsPair(files);
      const why = outOfTime(pair.cert, Date.now());
      // One that nobody accepts is no better than what is in use, unless that is out of its time, too.
      if (why !== undefined && pair.cert !== used.cert && outOfTime(used.cert, Date.now()) === undefined)
        throw new FileFault([`${setting}: the certificate ${why}`]);
      return pair;
    },
    textOf: ({ cert, key }) => cert + key,
    sizeOf: ({ cert }) => countOf(cert),
    use(pair) {
      use(pair);
      warnOfTime(pair);
    },
  });
}

/** The CA that signed Vault's certificate. @param used PEM */
export function authorityRenewal(path: string, used: string, log: Logger, use: (pem: string) => void): Renewal<string> {
  const setting = 'VAULT_CACERT';
  return new Renewal({
    what: 'CA file',
    setting,
    log,
    used,
    read: () => readCertificates(setting, path),
    textOf: String,
    sizeOf: countOf,
    use,
  });
}

/** The proxies that are believed, of the file only. @param used as it was at the start */
export function proxiesRenewal(
  path: string,
  used: Config['trustedProxies'],
  log: Logger,
  use: (ranges: readonly string[]) => void,
): Renewal<readonly string[]> {
  const setting = 'POSTERN_TRUSTED_PROXIES_FILE';
  return new Renewal<readonly string[]>({
    what: 'list of trusted proxies',
    setting,
    log,
    used: used.inFile,
    read: () => readProxies(setting, path),
    textOf: (ranges) => ranges.join(' '),
    sizeOf: (ranges) => ranges.length,
    use: (ranges) => use([...used.given, ...ranges]),
  });
}
