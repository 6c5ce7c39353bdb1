/** What a browser does with links: follows redirects, and keeps cookies by host, path and age. */
export type Browser = {
  /** The last answer, and every URL that it was asked at on the way. */
  open(url: string, init?: RequestInit): Promise<{ response: Response; urls: URL[] }>;
  /** Opens the URL and stops at the redirect that leads to `until` (the beginning of a URL). */
  openUntil(url: string, until: string): Promise<URL>;
  cookies: Cookie[];
};

export type Cookie = { host: string; path: string; name: string; value: string; attributes: string[] };

export function createBrowser(): Browser {
  const cookies: Cookie[] = [];

  async function ask(url: URL, init: RequestInit = {}): Promise<Response> {
    const sent = cookies.filter(({ host, path }) => host === url.host && url.pathname.startsWith(path));
    const headers = new Headers(init.headers);
    if (sent.length > 0) headers.set('cookie', sent.map(({ name, value }) => `${name}=${value}`).join('; '));
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) keep(url.host, line);
    return response;
  }

  function keep(host: string, line: string): void {
    const [pair = '', ...attributes] = line.split(/; */);
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const path = attributes.find((one) => /^path=/i.test(one))?.slice('path='.length) ?? '/';
    const known = cookies.findIndex((one) => one.host === host && one.name === name && one.path === path);
    if (known >= 0) cookies.splice(known, 1);
    if (!attributes.some((one) => /^max-age=0$/i.test(one)))
      cookies.push({ host, path, name, value, attributes });
  }

  async function walk(url: string, init: RequestInit | undefined, until?: string) {
    const urls = [new URL(url)];
    for (let hops = 0; hops < 10; hops++) {
      const here = urls.at(-1) ?? new URL(url);
      if (until !== undefined && here.href.startsWith(until)) return { response: undefined, urls };
      const response = await ask(here, hops === 0 ? init : undefined);
      const location = response.headers.get('location');
      if (location === null) return { response, urls };
      urls.push(new URL(location, here));
    }
    throw new Error(`more than 10 redirects: ${urls.join(' ')}`);
  }

  return {
    cookies,
    async open(url, init) {
      const { response, urls } = await walk(url, init);
      if (response === undefined) throw new Error('no answer');
      return { response, urls };
    },
    async openUntil(url, until) {
      const { response, urls } = await walk(url, undefined, until);
      const last = urls.at(-1);
      if (response !== undefined || last === undefined)
        throw new Error(`never came to ${until}: ${response?.status} ${await response?.text()}`);
      return last;
    },
  };
}
