import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { snippetOf } from '../../src/core/snippet.ts';

describe('snippetOf', () => {
  const html = '<p>from html</p>';
  const table: [string, string | null, string | null, string | null, string][] = [
    ['prefers the text', 'from text', html, 'from provider', 'from text'],
    ['takes the html where there is no text', null, html, 'from provider', 'from html'],
    ['takes the html where the text is blank', ' \n\u00a0\n', html, 'from provider', 'from html'],
    [
      'takes the preview where the html shows nothing',
      null,
      '<img src="x">',
      ' from\nprovider',
      'from provider',
    ],
    ['is empty where there is nothing', null, null, null, ''],
    ['is one line', '\n\nHello,\r\n\r\n  world\t!\n', null, null, 'Hello, world !'],
    ['finds the words far below', `${'\n'.repeat(100_000)}deep`, null, null, 'deep'],
    ['is at most 200 characters', 'a'.repeat(300), null, null, 'a'.repeat(200)],
    ['splits no emoji', `${'a'.repeat(199)}😀`, null, null, 'a'.repeat(199)],
    ['leaves markup in a text as it is', 'a <b> &amp; c', null, null, 'a <b> &amp; c'],
  ];
  for (const [claim, text, htmlText, preview, expected] of table)
    test(claim, () => assert.equal(snippetOf({ text, html: htmlText }, preview), expected));
});
