import { categoryOf as categoryOfEmail } from '../../../src/core/category/category.ts';
import { type Category, categorySchema } from '../../../src/core/category/schema.ts';
import { parseMime } from '../../../src/core/mime.ts';
import { bytesOf } from '../../support/raw-mail.ts';

/** The category of a mail, checked against what is published. */
export async function categoryOf(mail: string): Promise<Category> {
  return categorySchema.parse(await categoryOfEmail(await parseMime(bytesOf(mail))));
}
