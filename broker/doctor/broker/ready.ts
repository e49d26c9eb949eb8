import { failed, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { BrokerView } from './broker-view.ts';

const title = 'broker: ready';

export const ready: Inspection<BrokerView> = {
  title,
  async inspect(broker) {
    const answer = await broker.ready();
    if ('silence' in answer) {
      const { why, remedy } = answer.silence;
      return [failed(title, `${broker.url} cannot be reached: ${why}`, remedy ?? 'Is it started, and is --url right?')];
    }
    const warnings = Array.isArray(answer.body['warnings']) ? answer.body['warnings'].map(String) : [];
    if (answer.status === 200)
      return [
        ok(title, broker.url),
        // Such as announcements that went back: Vault was restored.
        ...warnings.map((text) => failed('broker: warning', text, 'See docs/restore.md.')),
      ];
    const missing = Array.isArray(answer.body['missing']) ? answer.body['missing'].map(String).join(', ') : '';
    return [failed(title, `not ready (${answer.status})${missing === '' ? '' : `: ${missing}`}`, 'Its log says why.')];
  },
};
