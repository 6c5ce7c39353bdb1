import { escapeHtml } from './connect-page.ts';
import { describeSchema, type JsonSchema } from './schema-text.ts';

/** Of an OpenAPI document, what the page shows. */
export type ApiDocument = {
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  webhooks: Record<string, Record<string, Operation>>;
};
type Content = Record<string, { schema?: JsonSchema }>;
type Operation = {
  tags: string[];
  summary: string;
  security?: unknown[];
  parameters?: { name: string; in: string; required?: boolean; schema: JsonSchema; description?: string }[];
  requestBody?: { content: Content };
  responses: Record<string, { description: string; content?: Content }>;
};

export const DOCS_STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem 4rem; }
nav ul { columns: 14rem; padding-left: 1.2rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .45rem .8rem; overflow-wrap: anywhere; }
summary span { display: block; opacity: .75; font-size: .92rem; }
details > div { padding: 0 .8rem .6rem; }
code, pre { font: .86rem/1.45 ui-monospace, monospace; }
code b { display: inline-block; min-width: 4.2em; }
pre { background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; }
h4 { margin: .8rem 0 .3rem; font-size: .92rem; }
`;

/** A page that needs nothing else: each call with what it takes and what it answers. */
export function renderDocs({ info, paths, webhooks }: ApiDocument): string {
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const tags = [...new Set(calls.map(({ operation }) => operation.tags[0] ?? ''))];
  const sections = tags.map((tag) => {
    const own = calls.filter(({ operation }) => operation.tags[0] === tag);
    const items = own.map(({ method, path, operation }) =>
      renderCall(`${method} ${path}`, method, path, operation),
    );
    return `<section>\n<h2 id="${escapeHtml(tag)}">${escapeHtml(tag)}</h2>\n${items.join('\n')}\n</section>`;
  });
  const events = Object.entries(webhooks).flatMap(([type, methods]) =>
    Object.values(methods).map((operation) => renderCall(type, 'event', type, operation)),
  );
  const links = [...tags, 'webhooks'].map(
    (tag) => `<li><a href="#${escapeHtml(tag)}">${escapeHtml(tag)}</a></li>`,
  );
  const title = `${info.title} ${info.version}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}: API reference</title>
<style>${DOCS_STYLE}</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(info.description)} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>
<p>Calls take <code>Authorization: Bearer &lt;key&gt;</code> unless they say otherwise. Errors are
<code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>.</p>
</header>
<nav><ul>
${links.join('\n')}
</ul></nav>
<main>
${sections.join('\n')}
<section>
<h2 id="webhooks">webhooks</h2>
<p>What endpoints are sent, signed as <a href="https://www.standardwebhooks.com/" rel="noreferrer">Standard
Webhooks</a> ask. An event of the log has the same <code>type</code>, <code>timestamp</code> and <code>data</code>.</p>
${events.join('\n')}
</section>
</main>
</body>
</html>
`;
}

function renderCall(anchor: string, label: string, name: string, operation: Operation): string {
  const id = escapeHtml(anchor.replace(/[^A-Za-z0-9]+/g, '-'));
  const isOpen = operation.security?.length === 0 && label !== 'event';
  const parameters = (operation.parameters ?? []).map((one) => {
    const { description } = one.schema;
    const note = one.description ?? (typeof description === 'string' ? description : undefined);
    const type = describeSchema({ ...one.schema, description: undefined });
    const optional = one.required === true ? '' : '?';
    return `${one.name}${optional}: ${type}  // ${one.in}${note === undefined ? '' : `; ${note}`}`;
  });
  const parts = [
    isOpen ? '<p>Without a key.</p>' : '',
    parameters.length === 0 ? '' : `<h4>Parameters</h4>\n<pre>${escapeHtml(parameters.join('\n'))}</pre>`,
    renderContent('Body', operation.requestBody?.content),
    ...renderAnswers(operation.responses),
  ];
  return `<details id="${id}">
<summary><code><b>${escapeHtml(label)}</b> ${escapeHtml(name)}</code><span>${escapeHtml(operation.summary)}</span></summary>
<div>
${parts.filter((part) => part !== '').join('\n')}
</div>
</details>`;
}

/** Problems have one shape, told at the top: here their statuses will do. */
function renderAnswers(responses: Operation['responses']): string[] {
  const isProblem = ({ content }: { content?: Content }) =>
    content?.['application/problem+json'] !== undefined;
  const answers = Object.entries(responses);
  const problems = answers.filter(([, answer]) => isProblem(answer)).map(([status]) => status);
  return [
    ...answers
      .filter(([, answer]) => !isProblem(answer))
      .map(
        ([status, { description, content }]) =>
          `<h4>${escapeHtml(status)}: ${escapeHtml(description)}</h4>${renderContent('', content)}`,
      ),
    problems.length === 0 ? '' : `<p>Problems: ${escapeHtml(problems.join(', '))}</p>`,
  ];
}

function renderContent(title: string, content: Content | undefined): string {
  const heading = title === '' ? '' : `<h4>${title}</h4>\n`;
  return Object.entries(content ?? {})
    .map(([type, { schema = {} }]) => {
      const text = type === 'application/json' ? describeSchema(schema) : type;
      return `${heading}<pre>${escapeHtml(text)}</pre>`;
    })
    .join('\n');
}
