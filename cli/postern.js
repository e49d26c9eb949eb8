#!/usr/bin/env node
// What a checkout's `postern` starts with. JavaScript, since Node takes the types out of the file that it starts with before any cache is
// on, which is a third of the work of `postern --help`. What is built starts with main.ts.
import { keepCompiled } from './compile-cache.js';

keepCompiled(process.env);
await import('./main.ts');
