import { userInfo } from 'node:os';
import { CAPABILITIES } from './dovecot-capabilities.ts';
import type { DovecotOptions } from './dovecot-options.ts';

/** What is settled before the configuration is written. */
export type Place = {
  directory: string;
  port: number;
  tlsPort: number;
  certPath: string;
  keyPath: string;
  introspectionUrl: string | undefined;
  clientsPerProcess: number;
};

/** Who runs Dovecot, and who owns the mail. Without root it is us for all of it. */
export type Owners = { internal: string; internalGroup: string; login: string; mail: Owner };
export type Owner = { uid: number; gid: number };

export const isRoot = process.getuid?.() === 0;

export function findOwners(group: string): Owners {
  const { username, uid, gid } = userInfo();
  if (!isRoot) return { internal: username, internalGroup: group, login: username, mail: { uid, gid } };
  // The users that Debian's package makes. Nobody's mail, because Dovecot refuses to open mail as root.
  return {
    internal: 'dovecot',
    internalGroup: 'dovecot',
    login: 'dovenull',
    mail: { uid: 65534, gid: 65534 },
  };
}

export function capabilityOf(options: DovecotOptions): string | undefined {
  if (options.capability !== undefined) return options.capability;
  const hidden = new Set<string>();
  if (options.idle === false) hidden.add('IDLE');
  if (options.condstore === false) for (const name of ['CONDSTORE', 'QRESYNC', 'ENABLE']) hidden.add(name);
  if (options.listStatus === false) hidden.add('LIST-STATUS');
  if (options.specialUse === false) hidden.add('SPECIAL-USE');
  for (const name of options.hide ?? []) hidden.add(name);
  if (hidden.size === 0) return undefined;
  return CAPABILITIES.filter((name) => !hidden.has(name)).join(' ');
}

export function dovecotConfig(options: DovecotOptions, place: Place, owners: Owners): string {
  const { directory } = place;
  const { uid, gid } = owners.mail;
  const capability = capabilityOf(options);
  const delay = options.authFailureDelaySeconds ?? 0;
  const chroot = isRoot ? '' : 'chroot =';
  const groups = isRoot ? '' : 'extra_groups =';
  return `
base_dir = ${directory}/run
state_dir = ${directory}/state
log_path = /dev/stderr
log_timestamp =
auth_verbose = yes
listen = 127.0.0.1${options.requireTls === true ? `, ${STRANGER}` : ''}
protocols = imap lmtp
default_internal_user = ${owners.internal}
default_internal_group = ${owners.internalGroup}
default_login_user = ${owners.login}
default_client_limit = 8000
default_process_limit = 2000
default_vsz_limit = 0

ssl = yes
ssl_cert = <${place.certPath}
ssl_key = <${place.keyPath}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = ${options.requireTls === true ? 'yes' : 'no'}
auth_mechanisms = plain login${place.introspectionUrl === undefined ? '' : ' xoauth2 oauthbearer'}
auth_failure_delay = ${delay} secs
auth_username_chars =
auth_username_format = %u
auth_cache_size = ${options.authCache === true ? '10M' : '0'}
login_log_format_elements = user=<%u> method=%m rport=%{rport} mpid=%e %c session=<%{session}>

mail_location = maildir:~/Maildir:UTF-8
mail_max_userip_connections = ${options.maxConnectionsPerUser ?? 0}
mailbox_idle_check_interval = ${options.idleCheckSeconds ?? 30} secs
mailbox_list_index = no
mail_fsync = never
first_valid_uid = 1
${capability === undefined ? '' : `imap_capability = ${capability}`}
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
${options.extra ?? ''}

namespace inbox {
  inbox = yes
  separator = /
${folders(options)}
}
${passwordDatabases(directory, options, place.introspectionUrl)}
userdb {
  driver = static
  args = uid=${uid} gid=${gid} home=${directory}/mail/%u allow_all_users=yes
}
service anvil {
  ${chroot}
  # Its penalty holds an address back after a wrong password, whatever auth_failure_delay says.
  ${delay === 0 ? 'unix_listener anvil-auth-penalty {\n    mode = 0\n  }' : ''}
}
service imap-login {
  ${chroot}
  # One process for all logins, as Dovecot's "high-performance mode".
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  inet_listener imap {
    port = ${place.port}
  }
  inet_listener imaps {
    port = ${place.tlsPort}
  }
}
service imap {
  ${groups}
  service_count = ${place.clientsPerProcess > 1 ? 0 : 1}
  client_limit = ${place.clientsPerProcess}
  # Its own default is 1024.
  process_limit = 2000
}
service lmtp {
  ${groups}
  process_limit = 20
  unix_listener lmtp {
    mode = 0666
  }
}
service imap-urlauth-login {
  ${chroot}
  process_limit = 1
}
service auth {
  ${groups}
}
service auth-worker {
  ${groups}
}
`;
}

function folders(options: DovecotOptions): string {
  const all = options.folders ?? {
    Junk: '\\Junk',
    Sent: '\\Sent',
    Trash: '\\Trash',
    Drafts: '\\Drafts',
    Archive: '\\Archive',
  };
  return Object.entries(all)
    .map(([name, use]) => {
      const role = use === '' || options.specialUse === false ? '' : `\n    special_use = ${use}`;
      return `  mailbox "${name}" {\n    auto = subscribe${role}\n  }`;
    })
    .join('\n');
}

/*
 * Passwords are looked up in order. A user whose password was changed stands in `changed` with the new one and in
 * `known`, where any password is right and the result is no. Everybody else has the one password.
 */
function passwordDatabases(directory: string, options: DovecotOptions, url: string | undefined): string {
  const file = (name: string, rule: string) => `passdb {
  driver = passwd-file
  mechanisms = plain login
  args = ${directory}/${name}
  ${rule}
}
`;
  const oauth =
    url === undefined
      ? ''
      : `passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${directory}/oauth2.conf
}
`;
  return `${oauth}${file('changed', '')}${file('known', 'result_success = return-fail')}passdb {
  driver = static
  mechanisms = plain login
  args = password=${options.password ?? PASSWORD}
}`;
}

/**
 * Dovecot trusts a client of its own address with clear text, whatever it is told. A client of 127.0.0.1 that connects
 * to this one is none.
 */
export const STRANGER = '127.0.0.2';

export const PASSWORD = 'password-of-all-test-mailboxes';

export function oauthConfig(url: string): string {
  return `introspection_mode = post
introspection_url = ${url}
username_attribute = email
username_format = %u
active_attribute = active
active_value = true
timeout_msecs = 5000
`;
}
