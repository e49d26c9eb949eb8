/** Longest wait for a state that comes, ms: a loaded machine takes its time. What clients see meanwhile is measured, not waited for. */
export const PATIENCE_MS = 300_000;
