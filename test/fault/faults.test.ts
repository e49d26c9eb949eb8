import { afterAll, beforeAll, describe } from 'vitest';
import { HEADING } from './seen.ts';
import { startStage } from './stage.ts';
import type { Stage } from './stage.ts';
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
