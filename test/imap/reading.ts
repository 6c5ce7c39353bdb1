import postgres, { type Sql } from 'postgres';
import type { Answer } from '../support/service.ts';
import { type Stage, until } from './stage.ts';

/*
 * What the tests of reading look at beside the webhooks.
 */

/** The service's own database, for what the passing of time does and for faults of the store. */
export function openSql({ service }: Stage): Sql {
  return postgres(service.databaseUrl, { max: 1, onnotice: () => {} });
}

/** The published mails, in the order in which they came. */
export function mailsOf({ consumer }: Stage): Answer['body'][] {
  return eventsOf({ consumer }, 'message.received');
}

/** The data of the events of a type, in the order in which they came. */
export function eventsOf({ consumer }: Pick<Stage, 'consumer'>, type: string): Answer['body'][] {
  return consumer.received
    .map(({ body }) => JSON.parse(body))
    .filter((event) => event.type === type)
    .map(({ data }) => data);
}

export async function stubsOf({ service }: Stage, id: string): Promise<Answer['body'][]> {
  return (await service.api('GET', `/v1/sources/${id}/stubs?limit=500`)).body.data;
}

/** Oldest first. */
export async function gapsOf({ service }: Stage, id: string): Promise<Answer['body'][]> {
  return (await service.api('GET', `/v1/gaps?source=${id}&limit=500`)).body.data.reverse();
}

/** Has it look at everything now. */
export async function look(
  { service }: Stage,
  id: string,
  body: Record<string, unknown> = {},
): Promise<void> {
  const { status, body: said } = await service.api('POST', `/v1/sources/${id}/sync`, body);
  if (status !== 202) throw new Error(`sync answers ${status} ${JSON.stringify(said)}`);
}

/** As the passing of time would: a source that waits after a failure is due. */
export async function endWait(sql: Sql, id: string): Promise<void> {
  await sql`UPDATE sources SET due_at = now() WHERE id = ${id.slice('src_'.length)}`;
}

/** As the passing of time would: its stubs are due, and somebody looks. */
export async function makeStubsDue(stage: Stage, sql: Sql, id: string): Promise<void> {
  await sql`UPDATE stubs SET due_at = now() WHERE source_id = ${id.slice('src_'.length)}`;
  await look(stage, id);
}

/** Stops it and starts it again: a new session, with new connections. */
export async function startAnew(stage: Stage, id: string): Promise<void> {
  await stage.service.api('POST', `/v1/sources/${id}/stop`);
  await untilFree(stage, id);
  await stage.service.api('POST', `/v1/sources/${id}/start`);
}

/** Resolves once no process holds it. */
export async function untilFree(stage: Stage, id: string): Promise<void> {
  await until(
    async () => (await stage.readSource(id)).leaseHolder === null,
    20_000,
    () => `${id} is held`,
  );
}

export async function stop(stage: Stage, id: string): Promise<void> {
  await stage.service.api('POST', `/v1/sources/${id}/stop`);
  await untilFree(stage, id);
}

/** Resolves once every gap of the source is closed, and there are `count` of these or more. */
export async function untilRecovered(stage: Stage, id: string, count: number): Promise<Answer['body'][]> {
  let gaps: Answer['body'][] = [];
  await until(
    async () => {
      gaps = await gapsOf(stage, id);
      return gaps.length >= count && gaps.every(({ recoveredAt }) => recoveredAt !== null);
    },
    40_000,
    () => `the gaps are not recovered: ${JSON.stringify(gaps)}`,
  );
  return gaps;
}

/** How far a folder has been read, as the API has it. */
export async function placeIn(stage: Stage, id: string, path = 'INBOX'): Promise<Answer['body']> {
  const { imap } = await stage.readSource(id);
  return imap.folders.find((folder: { path: string }) => folder.path === path);
}

/** Resolves once the cursor of a folder has come to a UID. */
export async function untilRead(stage: Stage, id: string, uid: number, path = 'INBOX'): Promise<void> {
  let place: Answer['body'];
  await until(
    async () => {
      place = await placeIn(stage, id, path);
      return place?.uid >= uid;
    },
    30_000,
    () => `${path} is read to ${JSON.stringify(place)}, not ${uid}`,
  );
}

/** Resolves once a folder of a source is as wanted, with what it is then. */
export async function untilFolderIs(
  stage: Stage,
  id: string,
  path: string,
  isSo: (folder: Answer['body']) => boolean,
): Promise<Answer['body']> {
  let folder: Answer['body'];
  await until(
    async () => {
      folder = await placeIn(stage, id, path);
      return folder !== undefined && isSo(folder);
    },
    30_000,
    () => `${path} is ${JSON.stringify(folder)}`,
  );
  return folder;
}
