import { afterAll, beforeAll, describe } from 'vitest';
import { auth0Faults } from './auth0.faults.ts';
import { brokerFaults } from './broker.faults.ts';
import { cacheFaults } from './cache.faults.ts';
import { crowdFaults } from './crowd.faults.ts';
import { leaderFaults } from './leader.faults.ts';
import { pluginFaults } from './plugin.faults.ts';
import { HEADING } from './seen.ts';
import { soak } from './soak.faults.ts';
import { startStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { storageFaults } from './storage.faults.ts';
import { vaultFaults } from './vault.faults.ts';

/* One stage for all: each test leaves it as it found it. What clients saw of each is printed, as docs/faults.md has it. */

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
  console.log(HEADING);
}, 900_000);
afterAll(() => stage?.[Symbol.asyncDispose](), 120_000);
const stageOf = (): Stage => stage;

describe('Vault', () => vaultFaults(stageOf));
describe('Vault, where it writes', () => storageFaults(stageOf));
describe('Auth0', () => auth0Faults(stageOf));
describe('brokers', () => brokerFaults(stageOf));
describe('what replicas share', () => cacheFaults(stageOf));
describe('the secrets plugin', () => pluginFaults(stageOf));
describe('very many at once', () => crowdFaults(stageOf));
describe('one leader after the other', () => leaderFaults(stageOf));
describe('everything by chance', () => soak(stageOf));
