import { failed, ok, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { BrokerView } from './broker-view.ts';

const title = 'broker: discovery';

/** Whether services find what they read: they compare the issuer letter by letter, and read the document below it. */
export const discovery: Inspection<BrokerView> = {
  title,
  async inspect({ url, ready, discovery: read }) {
    if ('silence' in (await ready())) return [];
    const answer = await read();
    if ('silence' in answer)
      return [failed(title, `${answer.url} cannot be reached: ${answer.silence.why}`, answer.silence.remedy ?? 'Ask again.')];
    const { issuer, jwks_uri: keys } = answer.body;
    if (answer.status === 429 || answer.status >= 500)
      return [
        failed(title, `the discovery document is answered with ${answer.status}`, 'Its log, or that of what stands before it, says why.'),
      ];
    if (typeof issuer !== 'string' || typeof keys !== 'string')
      return [failed(title, 'there is no discovery document', 'Is --url the broker itself, without a path?')];
    if (issuer === url) return [ok(title, issuer)];
    return [
      warning(
        title,
        `the issuer is ${issuer}, and you asked at ${url}`,
        'Right where the two are one broker (a load balancer, say); else set POSTERN_ISSUER.',
      ),
    ];
  },
};
