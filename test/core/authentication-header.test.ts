import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAuthenticationHeader } from '../../src/core/authentication-header.ts';
import { threadCpuMs } from '../support/cpu-time.ts';

/** `server | method=result key=value ... | ...`; `-` without a server. */
function printed(value: string): string {
  const { instance, server, results } = parseAuthenticationHeader(value);
  const parts = results.map(({ method, result, properties }) =>
    [`${method}=${result}`, ...properties.map(({ key, value: text }) => `${key}=${text}`)].join(' '),
  );
  return [...(instance === null ? [] : [`i=${instance}`]), server ?? '-', ...parts].join(' | ');
}

describe('parseAuthenticationHeader', () => {
  const table: [string, string, string][] = [
    // The examples of RFC 8601, appendix B.
    ['no result', 'example.org 1; none', 'example.org'],
    [
      'one result',
      'example.com; spf=pass smtp.mailfrom=example.net',
      'example.com | spf=pass smtp.mailfrom=example.net',
    ],
    [
      'a comment behind a result',
      'example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=pass smtp.mailfrom=example.net',
      'example.com | auth=pass smtp.auth=sender@example.net | spf=pass smtp.mailfrom=example.net',
    ],
    [
      'a quoted reason',
      'example.com; dkim=pass reason="good signature; d=x" header.i=@mail-router.example.net',
      'example.com | dkim=pass reason=good signature; d=x header.i=@mail-router.example.net',
    ],
    [
      'comments and folding everywhere, nested, and versions',
      'foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail\t policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn\\) (ex)pecting) 1362471462',
      'foo.example.net | dkim=fail policy.expired=1362471462',
    ],
    // As providers write it.
    [
      'Gmail',
      'mx.google.com;       dkim=pass header.i=@example.com header.s=s1 header.b=K/abc+d;       spf=pass (google.com: domain of a@example.com designates 192.0.2.7 as permitted sender) smtp.mailfrom=a@example.com;       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com',
      'mx.google.com | dkim=pass header.i=@example.com header.s=s1 header.b=K/abc+d | spf=pass smtp.mailfrom=a@example.com | dmarc=pass header.from=example.com',
    ],
    [
      'Exchange Online, without a server and with bare domains',
      'spf=pass (sender IP is 192.0.2.7) smtp.mailfrom=example.com; example.onmicrosoft.com; dkim=pass (signature was verified) header.d=example.com;example.onmicrosoft.com; dmarc=pass action=none header.from=example.com;compauth=pass reason=100',
      '- | spf=pass smtp.mailfrom=example.com | dkim=pass header.d=example.com | dmarc=pass action=none header.from=example.com | compauth=pass reason=100',
    ],
    [
      'Yahoo, with a comment set close',
      'mta.yahoo.com; dmarc=pass(p=NONE) header.from=x.org;',
      'mta.yahoo.com | dmarc=pass header.from=x.org',
    ],
    [
      'Zoho',
      'mx.zohomail.eu;\tdkim=pass;\tarc=pass (i=1 dmarc=pass fromdomain=x.org);',
      'mx.zohomail.eu | dkim=pass | arc=pass',
    ],
    [
      'an ARC header',
      'i=2; mx.microsoft.com 1; spf=none; arc=none (0)',
      'i=2 | mx.microsoft.com | spf=none | arc=none',
    ],
    // What goes wrong.
    ['nothing', '', '-'],
    ['semicolons alone', ';;;', '-'],
    [
      'upper case',
      'MX.Example.COM; SPF=Pass SMTP.MailFrom=A@B.org',
      'mx.example.com | spf=pass smtp.mailfrom=A@B.org',
    ],
    [
      'padding that is not quoted',
      'x.org; dkim=pass header.b=abc== header.d=y.org',
      'x.org | dkim=pass header.b=abc header.d=y.org',
    ],
    [
      'a semicolon in a comment',
      'x.org; spf=fail (a; dkim=pass) smtp.helo=y',
      'x.org | spf=fail smtp.helo=y',
    ],
    ['a comment that does not end', 'x.org; spf=fail (a; dkim=pass', 'x.org | spf=fail'],
    [
      'a quotation that does not end',
      'x.org; spf=fail reason="a; dkim=pass',
      'x.org | spf=fail reason=a; dkim=pass',
    ],
    [
      'quotation marks escaped',
      'x.org; spf=fail reason="a\\"; dkim=pass"',
      'x.org | spf=fail reason=a"; dkim=pass',
    ],
    ['a result without a value', 'x.org; spf=; dkim=pass', 'x.org | dkim=pass'],
    ['a quoted equals sign', 'x.org; spf=pass reason="="', 'x.org | spf=pass reason=='],
    [
      'two properties of one name',
      'x.org; dkim=pass header.d=a header.d=b',
      'x.org | dkim=pass header.d=a header.d=b',
    ],
    ['a parenthesis that closes nothing', 'x.org; spf=pass) dkim=fail', 'x.org | spf=pass dkim=fail'],
  ];
  for (const [what, value, expected] of table)
    test(`reads ${what}`, () => assert.equal(printed(value), expected));

  const hostile = ['(', '(a', '"', '\\', ';', '=', 'a=', ' . ', '/ ', 'x;', 'a=b;', 'a=b c=d ', ' ', '();'];
  for (const piece of hostile)
    test(`takes 500 kB of ${JSON.stringify(piece)} in no time`, () => {
      const value = `x.org; spf=pass ${piece.repeat(500_000 / piece.length)}`;
      const startedMs = threadCpuMs();
      parseAuthenticationHeader(value);
      assert.ok(threadCpuMs() - startedMs < 100);
    });
});
