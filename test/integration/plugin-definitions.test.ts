import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';
import { type Definition, differences, leftOut, readDefinition } from '#tools/protocol/definition.ts';
import { definitions } from '#tools/protocol/generate.ts';
import { fetchUpstream } from '#tools/protocol/fetch.ts';

/** HashiCorp's definitions come out of the Go modules of the pinned Vault: without Go, or a way to them, this fails. */
describe("our definitions of the plugin protocol and HashiCorp's", () => {
  let folder = '';
  let ours: Definition;
  let theirs: Definition;
  let upstream: Map<string, string>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-upstream-'));
    upstream = await fetchUpstream(folder);
    theirs = await readDefinition(folder);
    // gRPC's health protocol is in neither module; it has been frozen since 2016.
    ours = new Map([...(await readDefinition(definitions))].filter(([what]) => !what.includes(' grpc.health.v1.')));
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('come from the versions that the pinned Vault is built from', async () => {
    const pinned = await readFile(join(checkout, 'tools/vault/go.mod'), 'utf8');
    for (const [module, version] of upstream)
      expect(pinned).toMatch(new RegExp(`^\\s${module.replaceAll('.', '\\.')} ${version.replaceAll('.', '\\.')}( |$)`, 'm'));
    expect([...upstream.keys()].sort()).toEqual(['github.com/hashicorp/go-plugin', 'github.com/hashicorp/vault/sdk']);
  });

  it('say the same of every message, field and procedure that we have', () => {
    expect(differences(ours, theirs)).toEqual([]);
    // Not an empty comparison.
    expect([...ours.keys()].filter((what) => what.startsWith('rpc ')).length).toBe(22);
    expect([...ours.keys()].filter((what) => what.startsWith('field ')).length).toBeGreaterThan(50);
  });

  it('differ in nothing but what we know of and leave out', () => {
    expect(leftOut(ours, theirs)).toEqual(LEFT_OUT);
  });

  it('a field or a procedure that Vault gains is seen', () => {
    const grown = new Map([...theirs, ['field pb.Request 99', 'new string'], ['rpc pb.Backend.New', 'pb.Empty -> pb.Empty']]);
    expect(leftOut(ours, grown).filter((line) => !LEFT_OUT.includes(line))).toEqual([
      'field pb.Request 99 new string',
      'rpc pb.Backend.New pb.Empty -> pb.Empty',
    ]);
  });
});

/** Nothing of ours reads or answers it. */
const LEFT_OUT = [
  'field logical.Alias 2 mount_accessor string',
  'field logical.Alias 4 metadata repeated logical.Alias.MetadataEntry',
  'field logical.Alias 5 ID string',
  'field logical.Alias 6 namespace_id string',
  'field logical.Alias 7 custom_metadata repeated logical.Alias.CustomMetadataEntry',
  'field logical.Alias 8 local bool',
  'field logical.Entity 1 ID string',
  'field logical.Entity 2 name string',
  'field logical.Entity 5 disabled bool',
  'field logical.Entity 6 namespace_id string',
  'field pb.HandleExistenceCheckArgs 1 storage_id uint32',
  'field pb.HandleRequestArgs 1 storage_id uint32',
  'field pb.Paths 5 write_forwarded_storage repeated string',
  'field pb.Paths 6 binary repeated string',
  'field pb.Paths 7 limited repeated string',
  'field pb.Paths 8 allow_snapshot_read repeated string',
  'field pb.Request 10 client_token_accessor string',
  'field pb.Request 13 mount_type string',
  'field pb.Request 14 mount_accessor string',
  'field pb.Request 15 wrap_info pb.RequestWrapInfo',
  'field pb.Request 16 client_token_remaining_uses int64',
  'field pb.Request 18 policy_override bool',
  'field pb.Request 19 unauthenticated bool',
  'field pb.Request 2 ReplicationCluster string',
  'field pb.Request 20 connection pb.Connection',
  'field pb.Request 21 requires_snapshot_id string',
  'field pb.Request 22 recover_source_path string',
  'field pb.Request 6 secret pb.Secret',
  'field pb.Request 7 auth pb.Auth',
  'field pb.Request 8 headers repeated pb.Request.HeadersEntry',
  'field pb.Request 9 client_token string',
  'field pb.Response 1 secret pb.Secret',
  'field pb.Response 2 auth pb.Auth',
  'field pb.Response 4 redirect string',
  'field pb.Response 6 wrap_info pb.ResponseWrapInfo',
  'field pb.Response 7 headers repeated pb.Response.HeadersEntry',
  'field pb.Response 8 mount_type string',
  'field plugin.ConnInfo 4 knock plugin.ConnInfo.Knock',
  'rpc pb.SystemView.CachingDisabled pb.Empty -> pb.CachingDisabledReply',
  'rpc pb.SystemView.ClusterInfo pb.Empty -> pb.ClusterInfoReply',
  'rpc pb.SystemView.DeregisterRotationJob pb.DeregisterRotationJobRequest -> pb.Empty',
  'rpc pb.SystemView.GenerateIdentityToken pb.GenerateIdentityTokenRequest -> pb.GenerateIdentityTokenResponse',
  'rpc pb.SystemView.GeneratePasswordFromPolicy pb.GeneratePasswordFromPolicyRequest -> pb.GeneratePasswordFromPolicyReply',
  'rpc pb.SystemView.GetRotationInformation pb.RotationInfoRequest -> pb.RotationInfoReply',
  'rpc pb.SystemView.GroupsForEntity pb.EntityInfoArgs -> pb.GroupsForEntityReply',
  'rpc pb.SystemView.MlockEnabled pb.Empty -> pb.MlockEnabledReply',
  'rpc pb.SystemView.PluginEnv pb.Empty -> pb.PluginEnvReply',
  'rpc pb.SystemView.RegisterRotationJob pb.RegisterRotationJobRequest -> pb.RegisterRotationJobResponse',
  'rpc pb.SystemView.ResponseWrapData pb.ResponseWrapDataArgs -> pb.ResponseWrapDataReply',
  'rpc pb.SystemView.Tainted pb.Empty -> pb.TaintedReply',
];
