import { mount } from '#broker/setting.ts';

/** Environment variables of this source. */
export const settings = {
  POSTERN_TRANSIT_MOUNT: mount('transit'),
  POSTERN_TRANSIT_KEY: mount('transitKey'),
};
