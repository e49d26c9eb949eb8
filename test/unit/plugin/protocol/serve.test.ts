import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import * as x509 from '@peculiar/x509';
import type { Backend, BackendFactory, BackendRequest, BackendResponse, Storage, SystemView } from '#broker/plugin/backend.ts';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import { knock } from '#test/fixture/knock.ts';
import { ask, Host, idMetadata, requestOf, until } from './host.ts';
import type { HostOptions } from './host.ts';

/** An engine that a test can look into. */
class Probe implements Backend {
  readonly version = 'v1.2.3';
  readonly specialPaths = { root: ['config'], sealWrapStorage: ['creds/'] };
  readonly uuid: string;
  storage: Storage | undefined;
  system: SystemView | undefined;
  asked: BackendRequest[] = [];
  invalidated: string[] = [];
  cleaned = false;
  answer: (request: BackendRequest) => Promise<BackendResponse | undefined> = async () => ({ data: { uuid: this.uuid } });
  exists: boolean | undefined;

  constructor(uuid: string) {
    this.uuid = uuid;
  }

  async initialize(storage: Storage, system: SystemView): Promise<void> {
    this.storage = storage;
    this.system = system;
  }

  async handleRequest(request: BackendRequest): Promise<BackendResponse | undefined> {
    this.asked.push(request);
    return this.answer(request);
  }

  async handleExistenceCheck(): Promise<boolean | undefined> {
    return this.exists;
  }

  invalidateKey(key: string): void {
    this.invalidated.push(key);
    if (key === 'fails') throw new Error('hvs.secret');
  }

  async cleanup(): Promise<void> {
    this.cleaned = true;
  }
}

let host: Host | undefined;
let probes: Probe[] = [];
afterEach(async () => {
  await host?.stop();
  host = undefined;
});

async function start(options: HostOptions = {}, factory?: BackendFactory): Promise<Host> {
  probes = [];
  host = await Host.start(
    factory ??
      (({ backendUuid }) => {
        const probe = new Probe(backendUuid);
        probes.push(probe);
        return probe;
      }),
    options,
  );
  return host;
}

/** One mount, and the engine behind it. */
async function mounted(options: HostOptions = {}): Promise<{ host: Host; probe: Probe; calls: string[]; stop: () => void }> {
  const running = await start(options);
  const back = await running.mount('one');
  return { host: running, probe: probes[0]!, ...back };
}

describe('what a host asks first', () => {
  it('is alive, multiplexed, of a version, and quiet', async () => {
    const { health, multiplexing, version, stdio } = await start();
    expect(await ask((done) => health.check({ service: 'plugin' }, done))).toEqual({ status: 1 });
    await expect(ask((done) => health.check({ service: 'other' }, done))).rejects.toMatchObject({ code: status.NOT_FOUND });
    expect(await ask((done) => multiplexing.multiplexingSupport({}, done))).toEqual({ supported: true });
    expect(await ask((done) => version.version({}, done))).toEqual({ pluginVersion: 'v9.9.9' });
    const stream = stdio.streamStdio({});
    let ended = false;
    stream
      .on('data', () => (ended = true))
      .on('end', () => (ended = true))
      .on('error', () => {});
    await sleep(50);
    expect(ended).toBe(false);
    stream.cancel();
  });

  it('has the type, paths and version of its mount', async () => {
    const {
      host: { backend, version },
    } = await mounted();
    expect(await ask((done) => backend.type({}, idMetadata('one'), done))).toEqual({ type: 1 });
    expect(await ask((done) => backend.specialPaths({}, idMetadata('one'), done))).toEqual({
      paths: { root: ['config'], unauthenticated: [], localStorage: [], sealWrapStorage: ['creds/'] },
    });
    expect(await ask((done) => version.version({}, idMetadata('one'), done))).toEqual({ pluginVersion: 'v1.2.3' });
  });

  it('in metadata mode there is a backend, and no request', async () => {
    const running = await start({ env: { VAULT_PLUGIN_METADATA_MODE: 'true' } });
    const back = await running.serveBack();
    back.announce();
    expect(await running.setup('one', back.id)).toEqual({ err: '' });
    expect(await ask((done) => running.backend.type({}, idMetadata('one'), done))).toEqual({ type: 1 });
    await expect(running.request('one', {})).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    await expect(ask((done) => running.backend.initialize({}, idMetadata('one'), done))).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
    });
    expect(back.calls).toEqual([]);
  });
});

it('a Vault that locks its memory is told that the plugin does not', async () => {
  expect((await start({ env: { VAULT_PLUGIN_MLOCK_ENABLED: 'true' } })).played.log).toEqual([
    expect.objectContaining({ '@level': 'warn', '@message': expect.stringContaining('swap') as unknown }),
  ]);
  await host?.stop();
  expect((await start({ env: { VAULT_PLUGIN_MLOCK_ENABLED: 'false' } })).played.log).toEqual([]);
});

describe('only that Vault is let in', () => {
  it('no certificate, another, and one that Vault itself has signed are cut off; Vault goes on', async () => {
    const running = await start();
    const signed = await signedBy(running.vault);
    expect(new X509Certificate(signed.pem).verify(new X509Certificate(running.vault.pem).publicKey)).toBe(true);
    for (const stranger of [undefined, await createCertificate(), signed])
      expect(['open', 'silent']).not.toContain(await knock(running.socket, stranger));
    // The plugin's own certificate is in the handshake line for everybody to read, but its key is not.
    expect(await knock(running.socket, running.vault)).toBe('open');
    expect(await ask((done) => running.health.check({ service: 'plugin' }, done))).toEqual({ status: 1 });
    expect(running.played.log.filter(({ '@level': level }) => level === 'warn')).toHaveLength(3);
  });

  it('the socket lies in a folder of this user alone, and goes away', async () => {
    const running = await start();
    const folder = dirname(running.socket);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    await running.stop();
    expect(existsSync(folder)).toBe(false);
  });

  it('who serves storage must be that Vault, too', async () => {
    const running = await start();
    // Another host's socket under the id that the plugin dials.
    const other = await Host.start(({ backendUuid }) => new Probe(backendUuid));
    const foreign = await other.serveBack();
    const address = await new Promise<string>((resolve) => {
      const write = other.stream.write.bind(other.stream);
      other.stream.write = ((info: { address: string }) => (resolve(info.address), write(info as never))) as never;
      foreign.announce();
    });
    running.stream.write({ serviceId: 77, network: 'unix', address });
    expect(await running.setup('one', 77)).toEqual({ err: '' });
    await ask((done) => running.backend.initialize({}, idMetadata('one'), done));
    await expect(probes[0]!.storage!.get('key')).rejects.toThrow('the storage of Vault failed');
    expect(foreign.calls).toEqual([]);
    await other.stop();
  });

  it('a server with a certificate that Vault itself has signed is not that Vault either', async () => {
    const running = await start();
    const foreign = await running.serveBack(await signedBy(running.vault));
    foreign.announce();
    expect(await running.setup('one', foreign.id)).toEqual({ err: '' });
    await ask((done) => running.backend.initialize({}, idMetadata('one'), done));
    await expect(probes[0]!.storage!.get('key')).rejects.toThrow('the storage of Vault failed');
    expect(foreign.calls).toEqual([]);
  });
});

describe('mounts', () => {
  it('are one a multiplex id, each with its own storage', async () => {
    const running = await start();
    const one = await running.mount('one');
    const two = await running.mount('two');
    expect((await running.request('one', {})).response?.data).toBe('{"uuid":"one"}');
    expect((await running.request('two', {})).response?.data).toBe('{"uuid":"two"}');
    await probes[1]!.storage!.put('k', Buffer.from('v'));
    expect(one.calls).toEqual([]);
    expect(two.calls).toEqual(['put k']);
  });

  it('an unknown id reaches none of them', async () => {
    const { host: running, probe } = await mounted();
    for (const id of ['', 'On', 'one ', 'two', '__proto__'])
      await expect(running.request(id, {})).rejects.toMatchObject({ code: status.NOT_FOUND });
    expect(probe.asked).toEqual([]);
  });

  it('Cleanup ends one and leaves the others', async () => {
    const running = await start();
    await running.mount('one');
    await running.mount('two');
    await ask((done) => running.backend.cleanup({}, idMetadata('one'), done));
    expect(probes.map(({ cleaned }) => cleaned)).toEqual([true, false]);
    await expect(running.request('one', {})).rejects.toMatchObject({ code: status.NOT_FOUND });
    expect((await running.request('two', {})).response?.data).toBe('{"uuid":"two"}');
    // Twice is once.
    expect(await ask((done) => running.backend.cleanup({}, idMetadata('one'), done))).toEqual({});
  });

  it('nothing is written for a mount that is gone', async () => {
    const { host: running, probe, calls } = await mounted();
    await ask((done) => running.backend.cleanup({}, idMetadata('one'), done));
    await expect(probe.storage!.put('late', Buffer.from('x'))).rejects.toThrow('the storage of Vault failed');
    await expect(probe.storage!.get('late')).rejects.toThrow();
    expect(calls).toEqual([]);
    expect(running.stored.size).toBe(0);
  });

  it('set up anew under the same id: the old one is cleaned up', async () => {
    const running = await start();
    await running.mount('one', 'first');
    await running.mount('one', 'second');
    expect(probes.map(({ uuid, cleaned }) => [uuid, cleaned])).toEqual([
      ['first', true],
      ['second', false],
    ]);
    expect((await running.request('one', {})).response?.data).toBe('{"uuid":"second"}');
  });

  it('Vault may say where storage is before or after Setup', async () => {
    const running = await start();
    const back = await running.serveBack();
    const setup = running.setup('one', back.id);
    await sleep(50);
    back.announce();
    expect(await setup).toEqual({ err: '' });
  });

  it('one process serves a single mount without ids, where multiplexing is switched off', async () => {
    const running = await start();
    await running.mount('', 'single');
    expect((await running.request('', {})).response?.data).toBe('{"uuid":"single"}');
  });

  it('a factory that fails is an error of Setup, told without its message', async () => {
    const running = await start({}, () => {
      throw new Error('hvs.secret');
    });
    const back = await running.serveBack();
    back.announce();
    const { err } = await running.setup('one', back.id);
    expect(err).toMatch(/could not set the mount up/);
    expect(running.played.stderr).not.toContain('hvs.secret');
  });
});

describe('requests', () => {
  it('arrive with what Vault says of the caller, and without the token', async () => {
    const { host: running, probe } = await mounted();
    await running.request('one', {
      id: 'r',
      operation: 'update',
      path: 'roles/acme',
      data: '{"ttl":60,"__proto__":{"x":1}}',
      displayName: 'token',
      mountPoint: 'auth0/',
      entityId: 'e',
    });
    expect(probe.asked[0]).toMatchObject({
      id: 'r',
      operation: 'update',
      path: 'roles/acme',
      mountPoint: 'auth0/',
      displayName: 'token',
      entityId: 'e',
    });
    expect(probe.asked[0]!.data['ttl']).toBe(60);
    expect(({} as { x?: number }).x).toBeUndefined();
    expect(probe.asked[0]!.storage).toBe(probe.storage);
    expect(Object.keys(probe.asked[0]!).sort()).toEqual([
      'data',
      'displayName',
      'entityId',
      'id',
      'mountPoint',
      'operation',
      'path',
      'storage',
      'system',
    ]);
  });

  it.each<[string, BackendResponse | undefined, { data: string; warnings: string[] } | undefined]>([
    ['nothing', undefined, undefined],
    ['data', { data: { a: 1 } }, { data: '{"a":1}', warnings: [] }],
    ['no data but a warning', { warnings: ['mind'] }, { data: 'null', warnings: ['mind'] }],
    ['an empty answer', {}, { data: 'null', warnings: [] }],
  ])('%s is answered as Vault reads it', async (_case, answer, expected) => {
    const { host: running, probe } = await mounted();
    probe.answer = async () => answer;
    expect(await running.request('one', {})).toEqual({ response: expected, err: undefined });
  });

  it('a bad request is an error in the answer, so that Vault tells it as it is', async () => {
    const { host: running, probe } = await mounted();
    probe.answer = async () => Promise.reject(new BackendError(400, 'audience: unknown'));
    expect(await running.request('one', {})).toEqual({ response: { data: '{"error":"audience: unknown"}', warnings: [] }, err: undefined });
  });

  it.each<[string, unknown, object]>([
    ['a coded error', new BackendError(429, 'slower'), { errType: 3, errMsg: 'slower', errCode: 429n }],
    ['a read-only node', new ReadOnly(), { errType: 0, errMsg: 'cannot write to readonly storage', errCode: 0n }],
    ['an unforeseen one', new Error('hvs.secret'), { errType: 2, errMsg: 'internal error', errCode: 0n }],
  ])('%s is answered as such', async (_case, error, expected) => {
    const { host: running, probe } = await mounted();
    probe.answer = async () => Promise.reject(error as Error);
    expect(await running.request('one', {})).toEqual({ response: undefined, err: expected });
    expect(running.played.stderr).not.toContain('hvs.secret');
  });

  it.each<[string, BackendResponse]>([
    ['a ring', { data: ring() }],
    ['a bigint', { data: { big: 1n } }],
  ])('an answer that is not JSON (%s) is an internal error', async (_case, answer) => {
    const { host: running, probe } = await mounted();
    probe.answer = async () => answer;
    expect((await running.request('one', {})).err).toMatchObject({ errType: 2 });
  });

  it.each(['rollback-later', 'recover', '', 'READ', 'constructor'])(
    'an operation that nobody knows (%s) is unsupported',
    async (operation) => {
      const { host: running, probe } = await mounted();
      expect((await running.request('one', { operation })).err).toMatchObject({ errType: 5 });
      expect(probe.asked).toEqual([]);
    },
  );

  it.each(['[1]', '"text"', '5', 'true'])('data that is not an object (%s) is a bad request', async (data) => {
    const { host: running } = await mounted();
    expect((await running.request('one', { data })).response?.data).toMatch(/must be an object/);
  });

  it.each(['null', '', '{}'])('no data (%s) is an empty object', async (data) => {
    const { host: running, probe } = await mounted();
    await running.request('one', { data });
    expect(probe.asked[0]!.data).toEqual({});
  });

  it('broken JSON and an empty message are errors, and the process goes on', async () => {
    const { host: running } = await mounted();
    expect((await running.request('one', { data: '{' })).err).toMatchObject({ errType: 2 });
    await expect(ask((done) => running.backend.handleRequest({ request: undefined }, idMetadata('one'), done))).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect((await running.request('one', {})).response?.data).toBe('{"uuid":"one"}');
  });

  it.each<[boolean | undefined, object]>([
    [undefined, { checkFound: false, exists: false, err: undefined }],
    [false, { checkFound: true, exists: false, err: undefined }],
    [true, { checkFound: true, exists: true, err: undefined }],
  ])('existence %s', async (exists, expected) => {
    const { host: running, probe } = await mounted();
    probe.exists = exists;
    expect(
      await ask((done) => running.backend.handleExistenceCheck({ request: requestOf({ operation: 'create' }) }, idMetadata('one'), done)),
    ).toEqual(expected);
  });

  it('a message of 16 MB goes both ways', async () => {
    const { host: running, probe } = await mounted();
    probe.answer = async ({ data }) => ({ data });
    const text = 'ä'.repeat(8 * 1024 * 1024);
    const { response } = await running.request('one', { data: JSON.stringify({ text }) });
    expect((JSON.parse(response!.data) as { text: string }).text === text).toBe(true);
  });

  it('a key that another node wrote is told on; an engine that fails at it ends nothing', async () => {
    const { host: running, probe } = await mounted();
    for (const key of ['roles/a', 'fails']) await ask((done) => running.backend.invalidateKey({ key }, idMetadata('one'), done));
    expect(probe.invalidated).toEqual(['roles/a', 'fails']);
    expect(running.played.stderr).not.toContain('hvs.secret');
  });

  it('500 at once are answered, each with its own answer', async () => {
    const { host: running, probe } = await mounted();
    probe.answer = async ({ path }) => {
      await sleep(Math.random() * 20);
      return { data: { path } };
    };
    const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => running.request('one', { path: `p/${n}` })));
    expect(answers.every(({ response }, n) => response?.data === `{"path":"p/${n}"}`)).toBe(true);
  });

  it('requests that Vault takes back, thousands of them, disturb no other', async () => {
    const { host: running, probe } = await mounted();
    probe.answer = async ({ path }) => {
      if (path === 'slow') await sleep(500);
      return { data: { path } };
    };
    for (let round = 1; round <= 5; round += 1) {
      const taken = Array.from({ length: 300 }, () =>
        running.backend.handleRequest({ request: requestOf({ path: 'slow' }) }, idMetadata('one'), () => {}),
      );
      await until(() => probe.asked.length >= 300 * round);
      const kept = running.request('one', { path: 'kept' });
      for (const call of taken) call.cancel();
      expect((await kept).response?.data).toBe('{"path":"kept"}');
    }
  });
});

describe('storage', () => {
  it('reads, writes, lists and deletes, seal-wrapped where asked', async () => {
    const { host: running, probe } = await mounted();
    const storage = probe.storage!;
    await storage.put('creds/a', Buffer.from([0, 1, 255]), true);
    await storage.put('roles/a', Buffer.from('{}').subarray(0, 2));
    expect(running.stored.get('creds/a')).toEqual(Buffer.from([0, 1, 255]));
    expect([...running.sealed]).toEqual(['creds/a']);
    expect(Buffer.from((await storage.get('creds/a'))!)).toEqual(Buffer.from([0, 1, 255]));
    expect(await storage.get('creds/b')).toBeUndefined();
    expect(await storage.list('creds/')).toEqual(['a']);
    await storage.delete('creds/a');
    expect(await storage.get('creds/a')).toBeUndefined();
  });

  it('a part of a larger buffer is written as that part', async () => {
    const { host: running, probe } = await mounted();
    await probe.storage!.put('k', new Uint8Array(Buffer.from('--value--')).subarray(2, 7));
    expect(running.stored.get('k')!.toString()).toBe('value');
  });

  it('that fails is an error to the caller, and nothing is written', async () => {
    let failing = false;
    const { host: running, probe } = await mounted({ storageError: () => (failing ? 'raft: hvs.secret leadership lost' : '') });
    failing = true;
    probe.answer = async ({ storage }) => {
      await storage.put('k', Buffer.from('new'));
      return { data: { written: true } };
    };
    expect(await running.request('one', { operation: 'update' })).toEqual({
      response: undefined,
      err: { errType: 3, errMsg: 'the storage of Vault failed', errCode: 500n },
    });
    expect(running.stored.has('k')).toBe(false);
    failing = false;
    expect((await running.request('one', { operation: 'update' })).response?.data).toBe('{"written":true}');
  });

  it('on a node that may not write is ReadOnly, also within a longer text', async () => {
    const { probe } = await mounted({ storageError: () => '1 error occurred: * cannot write to readonly storage' });
    await expect(probe.storage!.put('k', Buffer.from('v'))).rejects.toBeInstanceOf(ReadOnly);
  });

  it('that goes away is an error, not a wait', async () => {
    const { probe, stop } = await mounted();
    await probe.storage!.put('k', Buffer.from('v'));
    stop();
    await expect(probe.storage!.get('k')).rejects.toThrow('the storage of Vault failed');
  });
});

describe('the system view', () => {
  it.each<[number, object]>([
    [0, { performanceStandby: false, performanceSecondary: false, drSecondary: false }],
    [0b100_0000, { performanceStandby: false, performanceSecondary: true, drSecondary: false }],
    [0b10_0000_0000, { performanceStandby: false, performanceSecondary: false, drSecondary: true }],
    [0b100_0000_0000_0000, { performanceStandby: true, performanceSecondary: false, drSecondary: false }],
    [0b10_0001_0010_0000, { performanceStandby: false, performanceSecondary: false, drSecondary: false }],
  ])('replication %d', async (replication, expected) => {
    const { probe } = await mounted({ replication });
    expect(await probe.system!.replicationState()).toEqual(expected);
  });

  it('times are seconds', async () => {
    const { probe } = await mounted();
    expect(await probe.system!.defaultLeaseTtl()).toBe(3_600);
    expect(await probe.system!.maxLeaseTtl()).toBe(9_223_372_036);
    expect(await probe.system!.localMount()).toBe(true);
  });

  it(
    "an entity is told with its aliases and metadata; one that is not there isn't, and Vault's own words " + 'stay out of an error',
    async () => {
      const { probe, host } = await mounted();
      const entity = { aliases: [{ mountType: 'approle', name: 'role-id' }], metadata: { postern_tenant: 'acme' } };
      host.entities.set('e-1', entity);
      expect(await probe.system!.entity('e-1')).toEqual(entity);
      expect(await probe.system!.entity('e-2')).toBeUndefined();
      await expect(probe.system!.entity('broken')).rejects.toThrow('Vault does not tell who the caller is');
    },
  );
});

describe('the end', () => {
  it('Shutdown cleans every mount up and ends with 0', async () => {
    const running = await start();
    await running.mount('one');
    await running.mount('two');
    await running.stop();
    expect(await running.played.code).toBe(0);
    expect(probes.map(({ cleaned }) => cleaned)).toEqual([true, true]);
  });

  it('Vault is gone when its stream ends: so is the plugin', async () => {
    const running = await start();
    await running.mount('one');
    running.stream.cancel();
    expect(await running.played.code).toBe(0);
    expect(probes[0]!.cleaned).toBe(true);
  });

  it('an engine that hangs in cleanup is not waited for beyond what Vault waits', async () => {
    const { host: running, probe } = await mounted();
    probe.cleanup = () => new Promise(() => {});
    const at = Date.now();
    await running.stop();
    expect(Date.now() - at).toBeLessThan(4_000);
  });

  it('takes its signal handlers along', async () => {
    const before = process.listenerCount('SIGINT');
    const running = await start();
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    await running.stop();
    await until(() => process.listenerCount('SIGINT') === before);
  });
});

function ring(): Record<string, unknown> {
  const data: Record<string, unknown> = {};
  data['self'] = data;
  return data;
}

/** What only the holder of Vault's key can make: a certificate of another key, signed by Vault's. */
async function signedBy(issuer: { pem: string; keyPem: string }): Promise<{ pem: string; keyPem: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const der = x509.PemConverter.decodeFirst(issuer.keyPem);
  const signingKey = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '0102',
    // Another name than its issuer's, or TLS takes it for self-signed and refuses it by itself.
    subject: 'CN=stranger',
    issuer: new x509.X509Certificate(issuer.pem).subject,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth]),
    ],
  });
  return {
    pem: certificate.toString('pem'),
    keyPem: x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
  };
}
