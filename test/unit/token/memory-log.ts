import type { RecentRevocations, RevocationLog, RevokedToken } from '#broker/token/revocations.ts';

/** A log with check-and-set, shared by simulated replicas; `keep` is how many stay outside the archive. */
export class MemoryLog implements RevocationLog {
  recent: RevokedToken[] = [];
  archive: RevokedToken[] = [];
  serial = 0;
  version = 0;
  reads = 0;
  archiveReads = 0;
  appends = 0;
  keep = 128;
  /** Runs before each operation; throws for an outage, waits for slowness. */
  before: (operation: 'recent' | 'archive' | 'append') => void | Promise<void> = () => {};

  async readRecent(): Promise<RecentRevocations> {
    this.reads++;
    await this.before('recent');
    return { serial: this.serial, recent: [...this.recent], version: this.version };
  }

  async readArchive(): Promise<RevokedToken[]> {
    this.archiveReads++;
    await this.before('archive');
    return this.archive.map((one) => ({ ...one, at: 0 }));
  }

  async append(token: RevokedToken, after: RecentRevocations): Promise<RecentRevocations | undefined> {
    this.appends++;
    await this.before('append');
    if (after.version !== this.version) return undefined;
    this.recent.push(token);
    this.archive.push(...this.recent.splice(0, Math.max(0, this.recent.length - this.keep)));
    this.serial++;
    this.version++;
    return { serial: this.serial, recent: [...this.recent], version: this.version };
  }
}
