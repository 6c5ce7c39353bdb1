import { parentPort } from 'node:worker_threads';
import { type PackedTasks, unpackTasks } from './packing.ts';
import { prepareMail } from './prepare-mail.ts';

/*
 * A thread that prepares mails, in groups: a message of tasks is answered by one of rows, in their order. It holds
 * nothing between two of them, so it may be ended at any time.
 */
parentPort?.on('message', async (packed: PackedTasks) => {
  parentPort?.postMessage(await Promise.all(unpackTasks(packed).map(prepareMail)));
});
