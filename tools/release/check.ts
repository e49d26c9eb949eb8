/** A version that may be released: https://semver.org/ */
const SEMANTIC = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/;

export interface ReleaseFacts {
  /** Of package.json. */
  version: string;
  /** The text of CHANGELOG.md. */
  changelog: string;
  /** What git says is changed or not known to it, a path each; undefined where this isn't a repository. */
  changed: readonly string[] | undefined;
  /** Tags of this commit. */
  tags: readonly string[];
}

/**
 * What keeps these sources from being released, in words; empty: nothing.
 * @param snapshot a build to try, of what is not released yet
 */
export function releaseFaults({ version, changelog, changed, tags }: ReleaseFacts, snapshot: boolean): string[] {
  const faults: string[] = [];
  if (!SEMANTIC.test(version)) faults.push(`package.json: ${version} is not a semantic version`);
  const sections = [...changelog.matchAll(/^## \[?([^\]\s]+)\]?.*$([\s\S]*?)(?=^## |(?![\s\S]))/gm)];
  const text = (name: string): string | undefined => sections.find(([, title]) => title === name)?.[2];
  if (snapshot) return faults;
  if (!text(version)?.trim()) faults.push(`CHANGELOG.md has no section "## ${version}" that says what changed`);
  if (text('Unreleased')?.trim()) faults.push(`CHANGELOG.md: what stands under Unreleased belongs under ${version}`);
  if (changed === undefined) faults.push('this is not a git repository, so nobody could tell what was released');
  else if (changed.length > 0)
    faults.push(`git: ${changed.slice(0, 3).join(', ')} ${changed.length > 3 ? 'and more are' : 'is'} not committed`);
  if (changed !== undefined && !tags.includes(`v${version}`)) faults.push(`git: this commit has no tag v${version}`);
  return faults;
}
