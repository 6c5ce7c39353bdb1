import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOfOthers } from '../../../src/sources/imap/list-folders.ts';

const at = (...prefixes: string[]) => prefixes.map((prefix) => ({ prefix, delimiter: '/' }));

test('a folder is of others where their prefix is the longest that fits', () => {
  const usual = { personal: at(''), other: at('Other Users/'), shared: at('Shared Folders/', '#public/') };
  const cyrus = { personal: at('INBOX.'), other: at('user.'), shared: at('') };
  const own = { personal: at(''), other: false as const, shared: at('') };
  const found = (paths: string[], namespaces: Parameters<typeof isOfOthers>[1]) =>
    paths.filter((path) => isOfOthers(path, namespaces));
  const paths = ['INBOX', 'Junk', 'Other', 'Other Users/bob/Junk', '#public/Junk', 'Shared Folders/x'];
  assert.deepEqual(found(paths, usual), paths.slice(3));
  assert.deepEqual(found(['inbox', 'INBOX.Junk', 'user.bob', 'lists'], cyrus), ['user.bob', 'lists']);
  assert.deepEqual(found(['INBOX', 'Junk'], own), []);
});
