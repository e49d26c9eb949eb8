import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Definition, differences, readDefinition } from '#tools/protocol/definition.ts';
import { definitions, filesOf, generate, generated } from '#tools/protocol/generate.ts';
import { fetchUpstream } from '#tools/protocol/fetch.ts';

it('make generate makes what is committed', async () => {
  expect(await generate()).toEqual(await filesOf(generated));
});

it('generated code is seen to be old: a field more in the definitions makes other code', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-proto-'));
  try {
    await copyDefinitions(folder, (text) => text.replace('string entity_id = 17;', 'string entity_id = 17;\n  string client_token = 9;'));
    expect(await generate(folder)).not.toEqual(await filesOf(generated));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

describe('a definition that has drifted', () => {
  let folder = '';
  let right: Definition;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-proto-'));
    right = await readDefinition(definitions);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each<[fault: string, file: string, from: string, to: string, seen: RegExp]>([
    [
      'another field number',
      'backend.proto',
      'string path = 4;',
      'string path = 24;',
      /^field pb\.Request 24: ours "path string", theirs has none$/,
    ],
    [
      'another type',
      'backend.proto',
      'int64 err_code = 3;',
      'int32 err_code = 3;',
      /^field pb\.ProtoError 3: ours "err_code int32", theirs "err_code int64"$/,
    ],
    [
      'another message type',
      'storage.proto',
      'StorageEntry entry = 1;\n  string err',
      'StorageGetArgs entry = 1;\n  string err',
      /pb\.StorageGetReply 1/,
    ],
    [
      'two fields swapped',
      'process.proto',
      'string network = 2;\n  string address = 3;',
      'string address = 2;\n  string network = 3;',
      /plugin\.ConnInfo [23]/,
    ],
    ['one where there are many', 'storage.proto', 'repeated string keys', 'string keys', /"keys string", theirs "keys repeated string"/],
    ['another name', 'backend.proto', 'string backendUUID', 'string backendUuid', /pb\.SetupArgs 3/],
    ['another map', 'backend.proto', 'map<string, string> Config', 'map<string, bytes> Config', /pb\.SetupArgs\.ConfigEntry 2/],
    [
      'a message that nobody knows',
      'version.proto',
      'message Empty {}',
      'message Empty {}\n\nmessage Stranger {}',
      /^message logical\.Stranger/,
    ],
    [
      'another answer',
      'backend.proto',
      'rpc Type(Empty) returns (TypeReply)',
      'rpc Type(Empty) returns (Empty)',
      /^rpc pb\.Backend\.Type: ours "pb\.Empty -> pb\.Empty", theirs "pb\.Empty -> pb\.TypeReply"$/,
    ],
    ['no stream', 'process.proto', 'StartStream(stream ConnInfo)', 'StartStream(ConnInfo)', /^rpc plugin\.GRPCBroker\.StartStream/],
    [
      'another package',
      'multiplexing.proto',
      'package pluginutil.multiplexing;',
      'package pluginutil;',
      /^rpc pluginutil\.PluginMultiplexing/,
    ],
    ['another value', 'process.proto', 'STDERR = 2', 'STDERR = 3', /^enum plugin\.StdioData\.Channel 3/],
  ])('a copy with %s is found out', async (fault, file, from, to, seen) => {
    const broken = join(folder, fault.replaceAll(' ', '-'));
    await copyDefinitions(broken, (text, name) => (name === file ? text.replace(from, to) : text));
    const found = differences(await readDefinition(broken), right);
    expect(found.join('\n')).toMatch(new RegExp(seen, 'm'));
  });

  it('an untouched copy has no difference', async () => {
    const copy = join(folder, 'copy');
    await copyDefinitions(copy, (text) => text);
    expect(differences(await readDefinition(copy), right)).toEqual([]);
  });
});

it('a machine without Go is told why the definitions can not be compared', async () => {
  await expect(fetchUpstream('/nowhere', { PATH: '/nowhere' })).rejects.toThrow('Go is not installed');
});

async function copyDefinitions(into: string, change: (text: string, file: string) => string): Promise<void> {
  await cp(definitions, into, { recursive: true, filter: (path) => !path.startsWith(generated) });
  for (const file of ['backend', 'health', 'multiplexing', 'process', 'storage', 'system', 'version'].map((name) => `${name}.proto`)) {
    await writeFile(join(into, file), change(await readFile(join(definitions, file), 'utf8'), file));
  }
}
