import { createHmac, randomUUID } from 'node:crypto';
import type { Post, Runtime, Trigger } from './runtime.ts';
import type { World } from './world.ts';
import type { HttpAnswer } from './world-worker.ts';

/** What the services of one execution are made of. */
export type Services = {
  /** Runs a service call: the only place where it takes effect. */
  call: <T>(name: string, effect: () => T) => T;
  runtime: Runtime;
  world: World;
  /** How often that has happened today, this time included. */
  countToday: (name: string) => number;
};

/** https://developers.google.com/apps-script/guides/services/quotas, "Current limitations". */
const VALUE_BYTES = 9 * 1024;
const STORE_BYTES = 500 * 1024;
const POST_BYTES = 50 * 1024 * 1024;
const URL_BYTES = 2 * 1024;
const TRIGGERS = 20;

/** The global objects that an execution finds, besides Gmail; and what Google does with its locks at its end. */
export function createServices(services: Services) {
  const lock = createLock(services);
  return {
    globals: {
      PropertiesService: { getUserProperties: () => createProperties(services) },
      LockService: { getUserLock: () => lock },
      ScriptApp: createScriptApp(services),
      Session: {
        getEffectiveUser: () => ({
          getEmail: () => services.call('Session.getEmail', () => services.runtime.settings.account),
        }),
      },
      UrlFetchApp: createUrlFetch(services),
      Utilities: createUtilities(services),
    },
    release: lock.release,
  };
}

/** The lock of a script is held in the script's store, for all executions. */
const holders = new WeakMap<object, object>();

function createLock({ call, runtime, world }: Services) {
  const me = {};
  const release = () => {
    if (holders.get(runtime) === me) holders.delete(runtime);
  };
  return {
    tryLock: (ms: number) =>
      call('Lock.tryLock', () => {
        const holder = holders.get(runtime);
        if (holder !== undefined && holder !== me) {
          world.clock.now += ms;
          return false;
        }
        holders.set(runtime, me);
        return true;
      }),
    hasLock: () => holders.get(runtime) === me,
    releaseLock: () => call('Lock.releaseLock', release),
    release,
  };
}

function createProperties({ call, runtime, countToday }: Services) {
  const { properties: kept } = runtime;
  const touch = <T>(name: string, effect: () => T) =>
    call(name, () => {
      if (countToday('properties') > runtime.settings.quota.propertyCalls) throw tooMany('properties');
      return effect();
    });
  return {
    getProperty: (key: string) => touch('Properties.getProperty', () => kept.get(key) ?? null),
    getKeys: () => touch('Properties.getKeys', () => [...kept.keys()]),
    setProperty: (key: string, value: unknown) =>
      touch('Properties.setProperty', () => {
        if (typeof value !== 'string') throw new Error('a property is a string');
        if (Buffer.byteLength(value) > VALUE_BYTES) throw new Error('Argument too large: value');
        const others = [...kept].filter(([name]) => name !== key);
        const bytes = [...others, [key, value]].reduce(
          (sum, [a, b]) => sum + Buffer.byteLength(`${a}${b}`),
          0,
        );
        if (bytes > STORE_BYTES) throw new Error('You have exceeded the property storage quota');
        kept.set(key, value);
      }),
    deleteProperty: (key: string) => touch('Properties.deleteProperty', () => void kept.delete(key)),
    deleteAllProperties: () => touch('Properties.deleteAllProperties', () => kept.clear()),
  };
}

function createScriptApp({ call, runtime, world }: Services) {
  const shown = ({ id, handler }: Trigger) => ({
    getUniqueId: () => id,
    getHandlerFunction: () => handler,
  });
  return {
    getProjectTriggers: () => call('ScriptApp.getProjectTriggers', () => runtime.triggers.map(shown)),
    deleteTrigger: (one: { getUniqueId(): string }) =>
      call('ScriptApp.deleteTrigger', () => {
        const at = runtime.triggers.findIndex(({ id }) => id === one.getUniqueId());
        if (at < 0) throw new Error('Unexpected error while getting the method or property deleteTrigger');
        runtime.triggers.splice(at, 1);
      }),
    newTrigger: (handler: string) => ({
      timeBased: () => ({
        everyMinutes: (minutes: number) => ({
          create: () =>
            call('ScriptApp.create', () => {
              if (![1, 5, 10, 15, 30].includes(minutes))
                throw new Error('The value you passed to everyMinutes');
              if (runtime.triggers.length >= TRIGGERS) throw new Error('This script has too many triggers.');
              const nextAt = world.clock.now + minutes * 60_000;
              const made = { id: randomUUID(), handler, minutes, nextAt };
              runtime.triggers.push(made);
              return shown(made);
            }),
        }),
      }),
    }),
  };
}

type FetchParameters = {
  method?: string;
  contentType?: string;
  headers?: Record<string, string>;
  payload?: string | number[];
  muteHttpExceptions?: boolean;
  followRedirects?: boolean;
};

function createUrlFetch({ call, runtime, world, countToday }: Services) {
  function answerOf(post: Post): HttpAnswer | undefined {
    for (const fault of runtime.serverFaults) {
      const answer = fault(post);
      if (answer !== undefined) {
        return { status: answer.status, headers: answer.headers ?? {}, body: Buffer.from(answer.body ?? '') };
      }
    }
    return undefined;
  }

  return {
    fetch: (url: string, given: FetchParameters = {}) =>
      call('UrlFetchApp.fetch', () => {
        if (countToday('urlfetch') > runtime.settings.quota.urlFetches) throw tooMany('urlfetch');
        if (Buffer.byteLength(url) > URL_BYTES) throw new Error('Limit Exceeded: URLFetch URL Length.');
        const { payload = '' } = given;
        const body = typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(toInt8(payload));
        if (body.length > POST_BYTES) throw new Error('Limit Exceeded: URLFetch POST Size.');
        const method = (given.method ?? 'get').toUpperCase();
        const contentType = given.contentType ?? 'application/x-www-form-urlencoded';
        const headers = { ...given.headers, 'content-type': contentType };
        const post = noteOf(url, headers, body, world.clock.now);
        runtime.posts.push(post);
        const answer = answerOf(post) ?? world.http({ url, method, headers, body: new Uint8Array(body) });
        post.status = answer.status;
        const isRedirect = answer.status >= 300 && answer.status < 400;
        if (isRedirect && given.followRedirects !== false)
          throw new Error('the shim does not follow redirects');
        const text = Buffer.from(answer.body).toString();
        if (given.muteHttpExceptions !== true && answer.status >= 400) {
          throw new Error(
            `Request failed for ${url} returned code ${answer.status}. Truncated server response: ${text}`,
          );
        }
        return {
          getResponseCode: () => answer.status,
          getContentText: () => text,
          // With the names as the server wrote them: Node's in lower case, most others not.
          getHeaders: () => answer.headers,
        };
      }),
  };
}

function noteOf(url: string, headers: Record<string, string>, body: Buffer, at: number): Post {
  const parsed = JSON.parse(body.toString());
  return { at, id: headers['webhook-id'] ?? url, bytes: body.length, body: parsed, status: 0 };
}

function createUtilities({ call, world: { clock } }: Services) {
  const toBytes = (bytes: Uint8Array) => [...new Int8Array(bytes)];
  const bytesOf = (data: string | number[]) =>
    typeof data === 'string' ? Buffer.from(data) : Buffer.from(toInt8(data));
  return {
    sleep: (ms: number) =>
      call('Utilities.sleep', () => {
        if (ms > 300_000) throw new Error('The value you passed to sleep');
        clock.now += ms;
      }),
    getUuid: () => call('Utilities.getUuid', () => randomUUID()),
    base64Decode: (text: string) =>
      call('Utilities.base64Decode', () => {
        if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Error('Could not decode string.');
        return toBytes(Buffer.from(text, 'base64'));
      }),
    base64Encode: (data: string | number[]) =>
      call('Utilities.base64Encode', () => bytesOf(data).toString('base64')),
    base64EncodeWebSafe: (data: string | number[]) =>
      call('Utilities.base64EncodeWebSafe', () => {
        const digits = bytesOf(data).toString('base64url');
        // Java's keeps the padding.
        return digits.padEnd(Math.ceil(digits.length / 4) * 4, '=');
      }),
    computeHmacSha256Signature: (value: string | number[], key: string | number[]) =>
      call('Utilities.computeHmacSha256Signature', () => {
        if (typeof value !== typeof key) throw new Error('The parameters do not match the method signature');
        // Without a charset text is taken for ASCII, and what is not becomes a question mark.
        const part = (data: string | number[]) =>
          typeof data === 'string' ? Buffer.from(data.replace(/[^\0-\x7f]/g, '?')) : bytesOf(data);
        return toBytes(createHmac('sha256', part(key)).update(part(value)).digest());
      }),
    newBlob: (data: string | number[]) => ({
      getBytes: () => call('Blob.getBytes', () => toBytes(bytesOf(data))),
      getDataAsString: () => bytesOf(data).toString(),
    }),
  };
}

/** Java's bytes are -128 to 127; Apps Script takes no others. */
function toInt8(bytes: readonly number[]): Int8Array {
  for (const byte of bytes) {
    if (!Number.isInteger(byte) || byte < -128 || byte > 127) throw new Error(`${byte} is no byte`);
  }
  return Int8Array.from(bytes);
}

export function tooMany(service: string): Error {
  return new Error(`Service invoked too many times for one day: ${service}.`);
}
