import type { z } from 'zod';
import { inlineSchemas } from '../../src/http/schema-text.ts';

export type Schema = Parameters<typeof z.fromJSONSchema>[0] & object;
type Content = Record<string, { schema: Schema }>;
export type Operation = {
  tags: string[];
  summary: string;
  security?: unknown[];
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { description: string; content?: Content }>;
};
export type Document = {
  openapi: string;
  info: Record<string, string>;
  security: unknown;
  components: { securitySchemes: unknown };
  paths: Record<string, Record<string, Operation>>;
};

export type NamedOperation = { name: string; method: string; path: string; operation: Operation };

/** With each schema where its name was. */
export async function readDocument(address: string): Promise<Document> {
  return inlineSchemas((await (await fetch(`${address}/openapi.json`)).json()) as Document);
}

/** Each by its method and path, such as `GET /v1/sources/{id}`. */
export function operationsOf(document: Document): NamedOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
}
