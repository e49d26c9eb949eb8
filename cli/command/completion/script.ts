import type { Option, Place, Words } from './words.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

/** Scripts that ask nobody: a tenant's name would need Vault, and a key pressed must not wait for it. */
export const SHELLS: Readonly<Record<Shell, (words: Words) => string>> = { bash, zsh, fish };

/** `tenant create` -> what is offered there, as words. */
function cases(words: Words, offer: (place: Place) => string): string {
  return [...words].map(([path, place]) => `    ${quoted(path)}) offered=${quoted(offer(place))} ;;`).join('\n');
}

/** The loop that finds how far the commands go, in bash and zsh alike. */
function walk(words: Words, wordAt: string, last: string): string {
  const paths = [...words.keys()].filter((path) => path !== '');
  return `  local place='' at word next
  for (( at = ${wordAt}; at < ${last}; at++ )); do
    word="\${line[at]}"
    next="\${place:+$place }$word"
    case "$next" in
      ${paths.map(quoted).join('|')}) place="$next" ;;
    esac
  done`;
}

function values(words: Words, then: { file: string; any: string; words: (choices: readonly string[]) => string }): string {
  const of = (value: Option['value']): string => (typeof value === 'string' ? value : value.join(' '));
  const byValue = new Map<string, Set<string>>();
  for (const { options } of words.values())
    for (const { name, value } of options) if (value !== 'none') byValue.set(of(value), (byValue.get(of(value)) ?? new Set()).add(name));
  return [...byValue]
    .map(([value, names]) => {
      const what = value === 'file' ? then.file : value === 'any' ? then.any : then.words(value.split(' '));
      return `    ${[...names].join('|')}) ${what}; return ;;`;
    })
    .join('\n');
}

function bash(words: Words): string {
  const all = (place: Place): string => [...place.commands, ...place.options].map(({ name }) => name).join(' ');
  return `# bash completion of postern: source <(postern completion bash)
_postern() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" offered
  local -a line=("\${COMP_WORDS[@]}")
  COMPREPLY=()
  case "$previous" in
${values(words, {
  file: `local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames 2>/dev/null || :`,
  any: ':',
  words: (choices) => `COMPREPLY=($(compgen -W ${quoted(choices.join(' '))} -- "$current"))`,
})}
  esac
${walk(words, '1', 'COMP_CWORD')}
  case "$place" in
${cases(words, all)}
  esac
  COMPREPLY=($(compgen -W "$offered" -- "$current"))
}
complete -F _postern postern
`;
}

function zsh(words: Words): string {
  const described = (place: Place): string =>
    [...place.commands, ...place.options].map(({ name, description }) => `${name.replaceAll(':', '\\:')}:${description}`).join('\n');
  return `#compdef postern
# zsh completion of postern: source <(postern completion zsh), after compinit
_postern() {
  local current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}" offered
  local -a line=("\${words[@]}") found
  case "$previous" in
${values(words, {
  file: '_files',
  any: ':',
  words: (choices) => `compadd -- ${choices.map(quoted).join(' ')}`,
})}
  esac
${walk(words, '2', 'CURRENT')}
  case "$place" in
${cases(words, described)}
  esac
  found=("\${(@f)offered}")
  _describe -t commands postern found
}
compdef _postern postern
`;
}

function fish(words: Words): string {
  const lines: string[] = [];
  for (const [path, place] of words) {
    const where = quoted(`test (__postern_path) = ${quoted(path === '' ? '-' : path)}`);
    for (const { name, description } of place.commands)
      lines.push(`complete -c postern -n ${where} -a ${quoted(name)} -d ${quoted(description)}`);
    for (const { name, description, value } of place.options) {
      const more = value === 'none' ? '' : value === 'file' ? ' -r -F' : value === 'any' ? ' -x' : ` -x -a ${quoted(value.join(' '))}`;
      lines.push(`complete -c postern -n ${where} -l ${name.slice(2)}${more} -d ${quoted(description)}`);
    }
  }
  const paths = [...words.keys()].filter((path) => path !== '');
  return `# fish completion of postern: postern completion fish > ~/.config/fish/completions/postern.fish
function __postern_path
  set -l path
  for word in (commandline -opc)[2..]
    if contains -- (string join ' ' $path $word) ${paths.map(quoted).join(' ')}
      set path $path $word
    end
  end
  test -n "$path"; and string join ' ' $path; or echo -
end
complete -c postern -f
${lines.join('\n')}
`;
}

/** For all three shells: nothing in it means anything. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
