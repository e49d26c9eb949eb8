import type { Line } from './line.ts';

/** What the command line says. */
export interface Bench {
  /** Of each comparison. */
  rounds: number;
  /** Of each run. */
  seconds: number;
  /** Of load before the plugin's memory is read. */
  soak: number;
  /** For which Vault is stopped. */
  outage: number;
  /** Tenants of each import. */
  imported: number;
  /** Tenants that are listed. */
  tenants: number;
  /** Tenants that a broker has in memory. */
  crowd: number;
  /** Requests over which memory may not grow. */
  requests: number;
  report: (line: string) => void;
  signal: AbortSignal;
}

/** One subject, which can be measured alone: it starts what it needs, and stops it. */
export interface Part {
  readonly name: string;
  /** For the help. */
  readonly about: string;
  /** Runs only where it is named: with it, all of them took more than the quarter of an hour that `make bench` may. */
  readonly named?: true;
  run(bench: Bench): Promise<Line[]>;
}

/** What a part needs can't be had on this machine. It is told with its reason; the other parts go on. */
export class NotHere extends Error {}
