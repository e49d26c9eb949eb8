import { join } from 'node:path';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';

/** What definitions say, one statement an entry, so that two texts of one protocol can be compared. */
export type Definition = ReadonlyMap<string, string>;

interface Field {
  name: string;
  number: number;
  label: string;
  type: string;
  typeName?: string;
  proto3Optional?: boolean;
}
interface Message {
  name: string;
  field?: Field[];
  nestedType?: Message[];
  enumType?: Enum[];
}
interface Enum {
  name: string;
  value?: { name: string; number?: number }[];
}
interface Method {
  name: string;
  inputType: string;
  outputType: string;
  clientStreaming?: boolean;
  serverStreaming?: boolean;
}
interface File {
  package: string;
  messageType?: Message[];
  enumType?: Enum[];
  service?: { name: string; method?: Method[] }[];
}

/**
 * Reads every .proto file of a folder with buf's compiler, nothing fetched.
 * @returns e.g. `field pb.Request 5` -> `data string`, `rpc pb.Backend.Type` -> `pb.Empty -> pb.TypeReply`
 * @throws Error with what buf wrote when a file is wrong
 */
export async function readDefinition(folder: string): Promise<Definition> {
  const { stdout } = await execa(join(checkout, 'node_modules/.bin/buf'), ['build', folder, '--output', '-#format=json'], {
    preferLocal: true,
    localDir: checkout,
    stdin: 'ignore',
  });
  const image = JSON.parse(stdout) as { file: File[] };
  const said = new Map<string, string>();
  for (const file of image.file) {
    for (const message of file.messageType ?? []) sayMessage(said, file.package, message);
    for (const of of file.enumType ?? []) sayEnum(said, file.package, of);
    for (const { name, method = [] } of file.service ?? []) {
      for (const rpc of method)
        said.set(
          `rpc ${file.package}.${name}.${rpc.name}`,
          `${end(rpc.inputType, rpc.clientStreaming)} -> ${end(rpc.outputType, rpc.serverStreaming)}`,
        );
    }
  }
  return said;
}

/** What `ours` says and `theirs` does not, or says otherwise; empty where the wire is the same. */
export function differences(ours: Definition, theirs: Definition): string[] {
  return [...ours].flatMap(([what, said]) => {
    const other = theirs.get(what);
    return other === said ? [] : [`${what}: ours "${said}", theirs ${other === undefined ? 'has none' : `"${other}"`}`];
  });
}

/** What `theirs` says besides, of the messages and services that `ours` has: known to us or new, never silent. */
export function leftOut(ours: Definition, theirs: Definition): string[] {
  const owners = new Set([...ours.keys()].map(ownerOf));
  return [...theirs]
    .filter(([what]) => owners.has(ownerOf(what)) && !ours.has(what))
    .map(([what, said]) => `${what} ${said}`)
    .sort();
}

/** `field pb.Request 5` belongs to `field pb.Request`, `rpc pb.Backend.Type` to `rpc pb.Backend`. */
function ownerOf(what: string): string {
  return what.startsWith('message ') ? what : what.slice(0, what.lastIndexOf(what.startsWith('rpc ') ? '.' : ' '));
}

function sayMessage(said: Map<string, string>, within: string, message: Message): void {
  const name = `${within}.${message.name}`;
  said.set(`message ${name}`, '');
  for (const field of message.field ?? []) {
    const type = field.typeName?.slice(1) ?? field.type.replace('TYPE_', '').toLowerCase();
    const label = field.label === 'LABEL_REPEATED' ? 'repeated ' : field.proto3Optional === true ? 'optional ' : '';
    said.set(`field ${name} ${field.number}`, `${field.name} ${label}${type}`);
  }
  for (const nested of message.nestedType ?? []) sayMessage(said, name, nested);
  for (const of of message.enumType ?? []) sayEnum(said, name, of);
}

function sayEnum(said: Map<string, string>, within: string, of: Enum): void {
  for (const { name, number = 0 } of of.value ?? []) said.set(`enum ${within}.${of.name} ${number}`, name);
}

function end(type: string, streaming = false): string {
  return `${streaming ? 'stream ' : ''}${type.slice(1)}`;
}
