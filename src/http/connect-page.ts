import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

/** No script, no image, nothing from elsewhere: a few words and how they look. */
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  'cache-control': 'no-store',
  // The address of this page has a code or a token in it.
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

const STYLE = `
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif; }
body { margin: 15vh auto; max-width: 36rem; padding: 0 1.5rem; overflow-wrap: anywhere; }
`;

/** A page for the person in front of the browser. The words are escaped here. */
export function pageResponse(
  c: Context,
  status: ContentfulStatusCode,
  title: string,
  ...paragraphs: string[]
): Response {
  const body = paragraphs.map((text) => `<p>${escapeHtml(text)}</p>`).join('\n');
  const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} - Mailgress</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;
  return c.body(page, status, PAGE_HEADERS);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
