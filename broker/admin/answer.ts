import type { FastifyReply } from 'fastify';
import type { RepeatableAnswer } from './idempotency.ts';

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
  written: (outcome: 'done' | 'replayed' | 'refused', told: Told) => void,
): Promise<FastifyReply> {
  try {
    const { answer, replayed } = await run();
    written(replayed ? 'replayed' : 'done', { answer });
    if (replayed) void reply.header('Idempotency-Replayed', 'true');
    return await reply.code(answer.status).headers(answer.headers).send(answer.body);
  } catch (error) {
    written('refused', { error });
    throw error;
  }
}
