import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How a Go module of `tools/` builds one part. */
export interface GoPin {
  goModule: string;
  goPackage: string;
  goVersion: string;
}

export interface ProgramPin extends GoPin {
  version: string;
  minimum: string;
  /** Go's name of a platform -> SHA-256 of the official release's zip for it. Another platform gets no download. */
  sha256: Partial<Record<string, string>>;
}

export interface ProviderPin extends GoPin {
  source: string;
  /** Terraform version constraints that `terraform/` is kept working with. */
  range: string[];
  /** What is fetched where Terraform can download providers. */
  download: string;
  /** SHA-256 of the zips of that version, one a platform. */
  sha256: string[];
  /** What the Go module builds. */
  version: string;
}

/** A program that is published inside a Python wheel. */
export interface WheelPin {
  version: string;
  minimum: string;
  /** File with the one package and the hashes of its wheels. */
  requirements: string;
  /** How the program's name inside the wheel ends. */
  member: string;
}

export interface Versions {
  vault: ProgramPin;
  openbao: WheelPin;
  terraform: ProgramPin;
  /** Of Terraform, by name. */
  providers: Readonly<Record<string, ProviderPin>>;
  gateways: { nginx: { minimum: string; debianPackage: string } } & Record<'caddy' | 'envoy' | 'traefik', WheelPin>;
  helm: GoPin & { version: string; minimum: string };
  compose: GoPin & { version: string; minimum: string };
  /** Latency and cuts between real processes. */
  toxiproxy: GoPin & { version: string; minimum: string };
  /** What `make bench` measures beside us. */
  oauthapp: GoPin;
  hydra: GoPin;
  /** A shell and what scripts call, for images that stand in for official ones. */
  busybox: { minimum: string; debianPackage: string };
  prometheus: { minimum: string; debianPackage: string };
  redis: { minimum: string; debianPackages: string[] };
  /** Go modules in which the schemas of Kubernetes' own objects lie, and of custom ones, each with the folder. */
  kubernetes: { version: string; schemas: string; customSchemas: Readonly<Record<string, string>> };
  image: { vault: string; terraform: string; nginx: string };
  docker: { minimumApi: string; debianPackages: string[] };
}

/** The repository's root: the folder that holds `package.json`. */
export const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Every pin, from the one file that holds them. */
export const versions = JSON.parse(readFileSync(`${checkout}/tools/versions.json`, 'utf8')) as Versions;

/** The first `x.y.z` in a text, such as the output of `vault version`. */
export function versionIn(text: string): string | undefined {
  return /\d+\.\d+\.\d+/.exec(text)?.[0];
}

/**
 * The version that a program told.
 * @param told undefined: none @throws Error where it told none, or one that is too old
 */
export function versionFrom(path: string, told: string | undefined, minimum: string): string {
  if (told === undefined) throw new Error(`${path} does not tell its version`);
  if (compareVersions(told, minimum) < 0) throw new Error(`${path} is ${told}, at least ${minimum} is needed`);
  return told;
}

/** Negative, zero or positive, as `a` is older than, the same as, or newer than `b`. Plain `x.y.z` only. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let place = 0; place < 3; place++) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether a version meets every constraint, each `>= x.y.z` or `< x.y.z`. */
export function meets(version: string, range: readonly string[]): boolean {
  return range.every((constraint) => {
    const [operator, bound] = constraint.split(' ');
    if (!bound) throw new Error(`not a constraint: ${constraint}`);
    const difference = compareVersions(version, bound);
    return operator === '>=' ? difference >= 0 : difference < 0;
  });
}

/** Of this checkout's package.json: `1.2.3`. */
export async function packageVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as { version: string };
  return version;
}
