/** Visible ASCII without `*`: what segments of a pattern are made of besides wildcards. */
const LITERAL = /^[\x21-\x29\x2b-\x7e]*$/;
/** What one wildcard stands for: one segment, or many to the end. Never nothing, and no space, control or non-ASCII character. */
const SEGMENT = /^[\x21-\x29\x2b-\x2e\x30-\x39\x3b-\x7e]+$/;
const SEPARATOR = /([:/])/;
/** Segments that say whose workload it is: `repo:acme`, `system:serviceaccount`, `spiffe://acme.org`, `project_path:acme`. */
const LEAST_LITERAL = 2;

/**
 * Why a text is no pattern of subjects, in words; undefined where it is one. Segments are parted by `:` and `/`. `*` stands for one whole
 * segment that isn't empty; `**`, only as the last one, for one or more of them. At least two segments come before the first wildcard.
 */
export function patternFault(pattern: string): string | undefined {
  if (pattern.length > 1024) return 'is longer than 1,024 characters';
  const segments = pattern.split(SEPARATOR).filter((_, at) => at % 2 === 0);
  const first = segments.findIndex((segment) => segment.includes('*'));
  if (first === -1) return 'has no *: write it as an exact subject';
  if (!segments.every((segment) => segment === '*' || segment === '**' || LITERAL.test(segment)))
    return 'has a * beside other characters: a wildcard stands for a whole segment, between : and /, and all else is visible ASCII';
  const many = segments.indexOf('**');
  if (many !== -1 && many !== segments.length - 1) return 'has ** before its end';
  if (segments.at(-1) === '') return 'ends in a separator';
  if (segments.slice(0, first).filter((segment) => segment !== '').length < LEAST_LITERAL)
    return `needs ${LEAST_LITERAL} segments before its first wildcard, which say whose workloads these are, such as repo:acme/*`;
  return undefined;
}

/** @param pattern one without {@link patternFault} */
export function matchesPattern(pattern: string, subject: string): boolean {
  const wanted = pattern.split(SEPARATOR);
  const found = subject.split(SEPARATOR);
  const many = wanted.at(-1) === '**';
  if (many ? found.length < wanted.length : found.length !== wanted.length) return false;
  const head = many ? wanted.length - 1 : wanted.length;
  for (let at = 0; at < head; at++) {
    const [segment, one] = [wanted[at]!, found[at]!];
    if (segment === '*' && at % 2 === 0 ? !isWhole(one) : segment !== one) return false;
  }
  return found.slice(head).every((one, at) => at % 2 === 1 || isWhole(one));
}

/** A segment that a verifier further on could read as "here" or "one up" is nobody's name. */
function isWhole(segment: string): boolean {
  return SEGMENT.test(segment) && segment !== '.' && segment !== '..';
}
