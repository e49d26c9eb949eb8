import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { startLeashed } from '#tools/process/leash.ts';
import type { Leashed } from '#tools/process/leash.ts';

/** A small disk of its own, in memory, that can be filled. Only root can make one. */
export class SmallDisk {
  readonly #folder: string;
  /** Unmounts it at its end, however that comes. */
  readonly #leash: Leashed;

  private constructor(folder: string, leash: Leashed) {
    this.#folder = folder;
    this.#leash = leash;
  }

  /** @param folder where it is mounted; made if it isn't there */
  static async mount(folder: string, megabytes: number): Promise<SmallDisk> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    await execa('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', folder]);
    const leash = await startLeashed('/bin/sleep', ['infinity'], { env: {}, log: '/dev/null', after: `umount --lazy '${folder}'` });
    return new SmallDisk(folder, leash);
  }

  /** Not a block is left. By another process: whoever measures must not stand still meanwhile. */
  async fill(): Promise<void> {
    await execa('dd', ['if=/dev/zero', `of=${this.#filler}`, 'bs=4096'], { reject: false });
    const { bavail } = statfsSync(this.#folder);
    if (bavail > 0) throw new Error(`the disk still has ${bavail} free blocks`);
  }

  clear(): void {
    rmSync(this.#filler, { force: true });
  }

  unmount(): Promise<void> {
    return this.#leash.stop();
  }

  get #filler(): string {
    return join(this.#folder, 'filler');
  }
}
