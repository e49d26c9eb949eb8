import type { FastifyReply } from 'fastify';
import type { ChangeOutcome } from '#broker/audit/admin-event.ts';
import type { RepeatableAnswer } from './idempotency.ts';
import { problemOf } from './problem.ts';

export interface Told {
  readonly answer?: RepeatableAnswer;
  readonly error?: unknown;
}

/**
 * Sends what `run` gives. Before that, and where it fails, `written` tells the audit of it: no key goes out of which the audit knows nothing.
 * @throws what `run` throws
 */
export async function answerAudited(
  reply: FastifyReply,
  run: () => Promise<{ readonly answer: RepeatableAnswer; readonly replayed: boolean }>,
  written: (outcome: ChangeOutcome, told: Told) => void,
): Promise<FastifyReply> {
  try {
    const { answer, replayed } = await run();
    written(replayed ? 'replayed' : 'done', { answer });
    if (replayed) void reply.header('Idempotency-Replayed', 'true');
    return await reply.code(answer.status).headers(answer.headers).send(answer.body);
  } catch (error) {
    // Vault may have done what its answer, or ours, did not tell.
    written(problemOf(error).status >= 500 ? 'unknown' : 'refused', { error });
    throw error;
  }
}
