import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A pretended machine: a PATH with only what a test puts there, an empty cache, and no release site unless one is
 * given. Nothing of the real machine is seen but a few of the system's own tools.
 */
export class Machine {
  readonly root = mkdtempSync(join(tmpdir(), 'postern-machine-'));
  readonly bin = join(this.root, 'bin');
  readonly cache = join(this.root, 'cache', 'postern');
  readonly said: string[] = [];
  readonly report = (line: string) => void this.said.push(line);
  readonly env: NodeJS.ProcessEnv = {
    PATH: this.bin,
    HOME: this.root,
    XDG_CACHE_HOME: join(this.root, 'cache'),
    // A port that nothing listens on: the release site of a machine without a network.
    POSTERN_RELEASES: 'http://127.0.0.1:9',
  };

  constructor() {
    mkdirSync(this.bin, { recursive: true });
    // What the scripts need, one by one: a whole folder of the real machine might hold a real Vault.
    for (const name of ['mkdir', 'sed', 'sleep']) {
      const real = ['/usr/bin', '/bin'].map((folder) => join(folder, name)).find((path) => existsSync(path));
      if (real) symlinkSync(real, join(this.bin, name));
    }
  }

  /** An executable shell script in PATH, or at a path below the root. */
  script(path: string, body: string): string {
    const file = path.includes('/') ? join(this.root, path) : join(this.bin, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, `#!/bin/sh\n${body}\n`);
    chmodSync(file, 0o755);
    return file;
  }

  /** A `go` that writes a program which tells that version, after running `before`. */
  go(version: string, before = ''): void {
    this.script(
      'go',
      `[ "$1" = version ] && exit 0
while [ "$1" != -o ]; do shift; done
${before}
printf '#!/bin/sh\\necho "Program v${version}"\\n' > "$2"`,
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A program that tells a version as Vault and Terraform do. */
export const tells = (version: string) => `echo "Program v${version} (abc), built 2026"`;
