import { describe, expect, test } from 'vitest';
import { limitsStoreOf } from '#broker/limits-store.ts';

const none = { database: 0, username: undefined, password: undefined, tls: undefined };

describe('POSTERN_LIMITS_STORE', () => {
  test.each([
    ['redis://limits', { ...none, host: 'limits', port: 6379 }],
    ['redis://127.0.0.1:6380/2', { ...none, host: '127.0.0.1', port: 6380, database: 2 }],
    ['redis://[::1]:6380/', { ...none, host: '::1', port: 6380 }],
    ['rediss://limits.example.com', { ...none, host: 'limits.example.com', port: 6379, tls: { ca: undefined } }],
    ['redis://postern:p%40ss@limits', { ...none, host: 'limits', port: 6379, username: 'postern', password: 'p@ss' }],
    ['redis://:secret@limits', { ...none, host: 'limits', port: 6379, password: 'secret' }],
  ])('%s', (text, store) => expect(limitsStoreOf(text)).toEqual(store));

  test.each([
    'limits:6379',
    'http://limits',
    'redis://',
    'redis:///0',
    'redis://limits/zero',
    'redis://limits/0/1',
    'redis://limits?tls=true',
    'redis://limits#x',
    'redis://%zz@limits',
  ])('refuses %s', (text) => expect(limitsStoreOf(text)).toBeUndefined());
});
