const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TYPE = new RegExp(`^[ \\t]*(${TOKEN}/${TOKEN})[ \\t]*`);
/** RFC 9110 §5.6.6; white space beside `=`, which it forbids, is sent all the same. A parameter may be empty. */
const PARAMETER = new RegExp(`;[ \\t]*(?:(${TOKEN})[ \\t]*=[ \\t]*(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)"))?[ \\t]*`, 'y');

export interface MediaType {
  /** `type/subtype`, in lower case. */
  readonly type: string;
  /** Each charset that is named, in lower case. */
  readonly charsets: readonly string[];
}

const NO_CHARSET: readonly string[] = [];

/** A Content-Type (RFC 9110 §8.3.1). @returns undefined for anything else: two of them that were joined, a name without a slash */
export function mediaTypeOf(header: string | undefined): MediaType | undefined {
  const found = header === undefined ? null : TYPE.exec(header);
  if (header === undefined || found === null) return undefined;
  const type = (found[1] ?? '').toLowerCase();
  if (found[0].length === header.length) return { type, charsets: NO_CHARSET };
  const charsets: string[] = [];
  PARAMETER.lastIndex = found[0].length;
  while (PARAMETER.lastIndex < header.length) {
    const parameter = PARAMETER.exec(header);
    if (parameter === null) return undefined;
    const [, name, plain, quoted] = parameter;
    if (name?.toLowerCase() === 'charset') charsets.push((plain ?? quoted?.replaceAll(/\\(.)/g, '$1') ?? '').toLowerCase());
  }
  return { type, charsets };
}
