import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leadingTextOfHtml } from '../../src/core/html-text.ts';
import { threadCpuMs } from '../support/cpu-time.ts';

const ENOUGH = 200;

describe('leadingTextOfHtml', () => {
  const table: [string, string, string][] = [
    ['leaves tags out', '<p class="x">Hello <b>world</b></p>', 'Hello world '],
    ['does not part a word at an inline tag', 'H<b>el</b>lo<span>!</span>', 'Hello!'],
    ['parts words at every other tag', 'a<br>b<td>c</td><custom-tag>d', 'a b c d'],
    ['leaves out what is nothing to read', '<title>T</title><STYLE>p{}</STYLE ><script>1<2</script>x', 'x'],
    ['leaves comments out, tags in them too', 'a<!-- <p>not</p> -->b', 'ab'],
    ['leaves declarations out', '<!DOCTYPE html><?xml version="1.0"?>x', 'x'],
    ['resolves names', '&lt;a&gt; &amp; &eacute;&Uuml;&euro;&nbsp;&hellip;', '<a> & éÜ€ …'],
    ['resolves numbers', '&#8217;&#x1F600;&#233', '’😀é'],
    ['keeps an unknown name', '&nosuch; &', '&nosuch; &'],
    [
      'has no character for a number without one',
      '&#0;&#xD800;&#x110000;&#99999999;',
      '\ufffd\ufffd\ufffd\ufffd',
    ],
    ['leaves out a > in a value', `<img alt="a>b" title = 'c>"d'>e<a href=x'>f</a>`, 'ef'],
    ['ends a value that nobody closes at the tag', '<p title="a>b<br>c', 'b c'],
    ['keeps a < that opens nothing', 'a < b <3 c', 'a < b <3 c'],
    ['ends at a tag nobody closes', 'a<p b', 'a '],
    ['ends at a comment nobody closes', 'a<!-- b', 'a'],
    ['ends at a style nobody closes', 'a<style>b', 'a '],
    ['makes empty cells one blank', `a${'<td> &nbsp; </td>\n'.repeat(1000)}b`, 'a b'],
  ];
  for (const [claim, html, expected] of table)
    test(claim, () => assert.equal(leadingTextOfHtml(html, ENOUGH), expected));

  test('stops once it has enough', () => {
    assert.equal(leadingTextOfHtml('<p>word'.repeat(100_000), 10), 'word word ');
  });

  const hostile: [string, string][] = [
    ['tags nobody closes', '<a '.repeat(300_000)],
    ['comments nobody closes', '<!--'.repeat(300_000)],
    ['styles nobody closes', '<style>'.repeat(150_000)],
    ['references nobody ends', '&#1'.repeat(300_000)],
    ['values nobody closes', `<a b='`.repeat(200_000)],
    ['values without a tag end', '<a b=" '.repeat(200_000)],
    ['equals signs', `<a${' = '.repeat(300_000)}`],
    ['tags of equals signs', '<a ='.repeat(300_000)],
    ['angle brackets', '<'.repeat(1_000_000)],
    ['words apart by tags', '<p>x'.repeat(300_000)],
    ['blanks apart by tags', ' <b>'.repeat(300_000)],
  ];
  for (const [what, html] of hostile)
    test(`is linear in ${what}`, () => {
      const startedMs = threadCpuMs();
      leadingTextOfHtml(html, Number.POSITIVE_INFINITY);
      assert.ok(threadCpuMs() - startedMs < 1_500);
    });
});
