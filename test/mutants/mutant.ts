/** One fault, as somebody might put it into the security core by mistake. */
export type Mutant = readonly [
  /** Names it on the command line and in the report. */
  name: string,
  /** Stands once in the file, on one line or a few. */
  find: string,
  replace: string,
  /** What would go wrong. */
  why: string,
];

/** By the file that they are put into. */
export type Mutants = Readonly<Record<string, readonly Mutant[]>>;

/** Those that no unit test notices, with the reason; docs/testing.md has the same list. */
export type Survivors = Readonly<Record<string, string>>;
