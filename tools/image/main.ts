import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { toStderr } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { checkout } from '#tools/part/version.ts';
import { imageContext } from './image.ts';
import { buildImage } from './root.ts';

/** `make image`: the broker's image, by the Docker or Podman of this machine. */
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(checkout, 'dist') },
    tag: { type: 'string' },
    // What a builder on another machine takes.
    'context-only': { type: 'boolean', default: false },
  },
});
try {
  const { folder, version, args } = await withProgress('postern: building', toStderr, () => imageContext(resolve(values.folder), toStderr));
  const tag = values.tag ?? `postern:${version}`;
  if (!values['context-only']) await withProgress(`image ${tag}: building`, toStderr, () => buildImage(folder, tag, args));
  console.log(values['context-only'] ? folder : tag);
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = 1;
}
