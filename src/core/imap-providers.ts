import { z } from 'zod';

export const imapProviderSchema = z.enum([
  'gmail',
  'microsoft',
  'yahoo',
  'aol',
  'icloud',
  'fastmail',
  'zoho',
  'generic',
]);
export type ImapProvider = z.infer<typeof imapProviderSchema>;

export type ImapPreset = {
  /** As people know it. */
  title: string;
  /** Undefined where it has to be asked for or looked up. `imapHostOf` knows it better where it depends on the address. */
  host: string | undefined;
  port: number;
  security: 'tls';
  /** Connections that one account may have of us at once: fewer than the provider allows, for others use it too. */
  connectionBudget: number;
  /** How long IDLE runs before it is begun anew; under `IDLE_CEILING_MS`. */
  idleRestartMs: number;
  /** What a person can do when the login is refused; without a full stop, so that it can follow on a reason. */
  advice: string;
};

const MINUTE_MS = 60_000;

/** RFC 2177, 3: a server may log out who idles for 30 minutes, so IDLE is begun anew every 29 at the latest. */
export const IDLE_CEILING_MS = 29 * MINUTE_MS;

/** Many routers forget a connection that was quiet for 5 minutes, and tell neither side. */
const CAUTIOUS_RESTART_MS = 4.5 * MINUTE_MS;

const APP_PASSWORD_ALONE = 'the password of the account itself does not work here: use an app password, from';

export const IMAP_PRESETS: Readonly<Record<ImapProvider, ImapPreset>> = {
  gmail: {
    title: 'Gmail',
    host: 'imap.gmail.com',
    port: 993,
    security: 'tls',
    // Of 15 at once: https://support.google.com/mail/answer/7126229
    connectionBudget: 3,
    // It ends idle connections after some 10 minutes.
    idleRestartMs: 9 * MINUTE_MS,
    advice: `connect with Google again, or with 2-Step Verification on, use an app password from https://myaccount.google.com/apppasswords; in an organisation its administrator may have switched IMAP off`,
  },
  microsoft: {
    title: 'Outlook',
    host: 'outlook.office365.com',
    port: 993,
    security: 'tls',
    connectionBudget: 2,
    // Exchange keeps to the 30 minutes of the RFC.
    idleRestartMs: 25 * MINUTE_MS,
    advice:
      'Outlook takes no passwords by IMAP: connect with Microsoft again; IMAP has to be on, at outlook.live.com under Settings, Mail, Forwarding and IMAP, or by the administrator of the organisation',
  },
  yahoo: {
    title: 'Yahoo Mail',
    host: 'imap.mail.yahoo.com',
    port: 993,
    security: 'tls',
    connectionBudget: 2,
    // Its IDLE stops to tell news without a sign.
    idleRestartMs: 3 * MINUTE_MS,
    advice: `${APP_PASSWORD_ALONE} https://login.yahoo.com/account/security`,
  },
  aol: {
    title: 'AOL',
    host: 'imap.aol.com',
    port: 993,
    security: 'tls',
    connectionBudget: 2,
    // Yahoo's servers.
    idleRestartMs: 3 * MINUTE_MS,
    advice: `${APP_PASSWORD_ALONE} https://login.aol.com/account/security`,
  },
  icloud: {
    title: 'iCloud Mail',
    host: 'imap.mail.me.com',
    port: 993,
    security: 'tls',
    connectionBudget: 2,
    // No limit is published, here and for the next two.
    idleRestartMs: CAUTIOUS_RESTART_MS,
    advice: `${APP_PASSWORD_ALONE} https://account.apple.com, and as user what stands before the @ where the whole address is refused`,
  },
  fastmail: {
    title: 'Fastmail',
    host: 'imap.fastmail.com',
    port: 993,
    security: 'tls',
    connectionBudget: 3,
    idleRestartMs: CAUTIOUS_RESTART_MS,
    advice: `${APP_PASSWORD_ALONE} https://app.fastmail.com/settings/security/apps, with access to mail by IMAP`,
  },
  zoho: {
    title: 'Zoho Mail',
    host: 'imap.zoho.com',
    port: 993,
    security: 'tls',
    connectionBudget: 2,
    idleRestartMs: CAUTIOUS_RESTART_MS,
    advice:
      'switch IMAP access on in Zoho Mail under Settings, Mail Accounts; with two-factor sign-in use an application-specific password from https://accounts.zoho.com; an account of another region or with an own domain has a host of its own there, as imap.zoho.eu or imappro.zoho.com',
  },
  generic: {
    title: 'IMAP',
    host: undefined,
    port: 993,
    security: 'tls',
    connectionBudget: 3,
    idleRestartMs: CAUTIOUS_RESTART_MS,
    advice:
      'check user and password; many providers want an app password, and IMAP switched on in their settings',
  },
};

/**
 * The countries that these brands have domains of. Spelled out: an `outlook.io` belongs to somebody else, who would be
 * taken for the provider.
 */
const COUNTRIES = [
  ...['com', 'at', 'be', 'ca', 'ch', 'cl', 'cn', 'cz', 'de', 'dk', 'ee', 'es', 'fi', 'fr', 'gr', 'hk', 'hr'],
  ...['hu', 'ie', 'in', 'it', 'jp', 'kr', 'lt', 'lv', 'my', 'nl', 'no', 'ph', 'pl', 'pt', 'ro', 'rs', 'ru'],
  ...['sa', 'se', 'sg', 'sk', 'co.id', 'co.il', 'co.in', 'co.kr', 'co.nz', 'co.th', 'co.uk', 'co.za'],
  ...['com.ar', 'com.au', 'com.br', 'com.co', 'com.gr', 'com.hk', 'com.mx', 'com.my', 'com.pe', 'com.ph'],
  ...['com.pt', 'com.sg', 'com.tr', 'com.tw', 'com.ve', 'com.vn', 'co.jp'],
]
  .join('|')
  .replaceAll('.', '\\.');

const DOMAINS: readonly (readonly [RegExp, ImapProvider])[] = [
  [/^(gmail|googlemail)\.com$/, 'gmail'],
  [new RegExp(`^(outlook|hotmail|live)\\.(${COUNTRIES})$`), 'microsoft'],
  [/^(msn|passport|windowslive)\.com$/, 'microsoft'],
  // Yahoo! JAPAN is another company, with servers of its own.
  [new RegExp(`^(?!yahoo\\.(co\\.)?jp$)yahoo\\.(${COUNTRIES})$`), 'yahoo'],
  [/^(ymail|rocketmail|myyahoo)\.com$/, 'yahoo'],
  [new RegExp(`^aol\\.(${COUNTRIES})$`), 'aol'],
  // Verizon gave its mail to AOL in 2017.
  [/^(aim\.com|verizon\.net)$/, 'aol'],
  [/^(icloud|me|mac)\.com$/, 'icloud'],
  // anything@user.fastmail.com is delivered to user@fastmail.com.
  [/^([^.]+\.)?fastmail\.(com|fm)$/, 'fastmail'],
  [
    /^fastmail\.(net|org|us|ca|cn|de|es|fr|im|in|jp|mx|nl|no|se|to|tw|uk|co\.uk|com\.au|com\.br)$/,
    'fastmail',
  ],
  [/^zoho(mail)?\.(com|eu|in|jp|com\.au|com\.cn)$/, 'zoho'],
];

/**
 * Whose mail an address is, by its domain; undefined for domains of one's own and of providers without a preset. Nothing
 * is looked up, so a domain of one's own at Google or Microsoft is not known either.
 */
export function providerOfAddress(address: string): ImapProvider | undefined {
  const domain = domainOf(address);
  return DOMAINS.find(([pattern]) => pattern.test(domain))?.[1];
}

/** Where the mail of an address is fetched, by TLS on port 993: undefined as for `providerOfAddress`. */
export function imapHostOf(address: string): string | undefined {
  const provider = providerOfAddress(address);
  if (provider === undefined) return undefined;
  // Zoho keeps the accounts of a region in the region.
  const [, region] = /^zoho(?:mail)?\.(.+)$/.exec(domainOf(address)) ?? [];
  return region === undefined ? IMAP_PRESETS[provider].host : `imap.zoho.${region}`;
}

const HOSTS: readonly (readonly [RegExp, ImapProvider])[] = [
  [/^imap\.(gmail|googlemail)\.com$/, 'gmail'],
  // Not office365.us and partner.outlook.cn, whose tokens come from elsewhere.
  [/^outlook\.office(365)?\.com$|\.outlook\.com$/, 'microsoft'],
  [/\.mail\.yahoo\.com$/, 'yahoo'],
  [/\.aol\.com$/, 'aol'],
  [/\.mail\.(me|icloud)\.com$/, 'icloud'],
  [/^imap\.fastmail\.com$|\.messagingengine\.com$/, 'fastmail'],
  [/^imap(pro)?\.zoho\.(com|eu|in|jp|sa|com\.au|com\.cn)$|^imap(pro)?\.zohocloud\.ca$/, 'zoho'],
];

/** Whose server a host is, in any case and with or without the dot at the end; `generic` if it is none of the presets'. */
export function providerOfHost(host: string): ImapProvider {
  const name = host.toLowerCase().replace(/\.$/, '');
  return HOSTS.find(([pattern]) => pattern.test(name))?.[1] ?? 'generic';
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}
