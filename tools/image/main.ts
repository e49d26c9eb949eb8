import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { failed, intoFolder } from '#tools/dist/folder.ts';
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
  const into = resolve(values.folder);
  const { folder, version, args } = await intoFolder(into, 600e6, () =>
    withProgress('postern: building', toStderr, () => imageContext(into, toStderr)),
  );
  const tag = values.tag ?? `postern:${version}`;
  if (!values['context-only']) await withProgress(`image ${tag}: building`, toStderr, () => buildImage(folder, tag, args));
  console.log(values['context-only'] ? folder : tag);
} catch (error) {
  failed(error);
}
