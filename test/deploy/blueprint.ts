import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/*
 * What a Blueprint may say, as far as render.yaml uses it, after Render's reference
 * (https://render.com/docs/blueprint-spec, read in November 2026). Stricter than Render's own JSON schema: a field that is
 * not here is a fault, and so is a variable of two origins.
 */

const name = z.string().regex(/^[a-z][a-z0-9-]*$/);
const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/);
const region = z.enum(['oregon', 'ohio', 'virginia', 'frankfurt', 'singapore']);
const paidPlan = z.enum(['starter', 'standard', 'pro', 'pro plus', 'pro max', 'pro ultra']);
const databasePlan = z
  .string()
  .regex(
    /^(?:free|basic-(?:256mb|1gb|4gb)|(?:pro|accelerated)-(?:4|8|16|32|64|128|192|256|384|512|768|1024)gb)$/,
  );

const literal = z.strictObject({ key: variable, value: z.union([z.string(), z.number()]) });
const generated = z.strictObject({ key: variable, generateValue: z.literal(true) });
/** Render asks for it when the Blueprint is first applied; not possible in a group. */
const entered = z.strictObject({ key: variable, sync: z.literal(false) });
const ofDatabase = z.strictObject({
  key: variable,
  fromDatabase: z.strictObject({
    name,
    property: z.enum(['connectionString', 'host', 'port', 'user', 'password', 'database']),
  }),
});
const ofGroup = z.strictObject({ fromGroup: name });

const service = {
  name,
  runtime: z.literal('node'),
  region,
  buildCommand: z.string().min(1),
  startCommand: z.string().min(1),
  numInstances: z.int().positive().optional(),
  envVars: z.array(z.union([literal, generated, entered, ofDatabase, ofGroup])),
};
/** Not to be had on the free plan. */
const paid = {
  preDeployCommand: z.string().min(1).optional(),
  maxShutdownDelaySeconds: z.int().min(1).max(300).optional(),
};
const web = { ...service, type: z.literal('web'), healthCheckPath: z.string().startsWith('/').optional() };

export const blueprintSchema = z.strictObject({
  services: z.array(
    z.union([
      z.strictObject({ ...web, ...paid, plan: paidPlan }),
      z.strictObject({ ...web, plan: z.literal('free') }),
      z.strictObject({ ...service, ...paid, type: z.literal('worker'), plan: paidPlan }),
    ]),
  ),
  databases: z.array(
    z.strictObject({
      name,
      region,
      plan: databasePlan,
      postgresMajorVersion: z.enum(['15', '16', '17', '18']),
      databaseName: z.string().optional(),
      user: z.string().optional(),
      ipAllowList: z.array(z.strictObject({ source: z.string(), description: z.string().optional() })),
    }),
  ),
  envVarGroups: z.array(z.strictObject({ name, envVars: z.array(z.union([literal, generated])) })),
});

export type Blueprint = z.infer<typeof blueprintSchema>;
export type RenderService = Blueprint['services'][number];

export async function readBlueprint(folder: string): Promise<Blueprint> {
  return blueprintSchema.parse(parse(await readFile(join(folder, 'render.yaml'), 'utf8')));
}

export function serviceOf(blueprint: Blueprint, type: RenderService['type']): RenderService {
  const found = blueprint.services.find((one) => one.type === type);
  if (found === undefined) throw new Error(`render.yaml has no ${type}`);
  return found;
}

/** The variables that a service has on Render: the same generated values each time, as there. */
export function createEnvironments(
  blueprint: Blueprint,
  {
    databaseUrl,
    enter = {},
  }: {
    databaseUrl: string;
    /** What a person fills in; the rest of what is asked for is left empty. */
    enter?: Record<string, string>;
  },
): (service: RenderService) => Record<string, string> {
  const values = new Map<string, string>();
  const generate = (owner: string, key: string) => {
    const at = `${owner} ${key}`;
    const value = values.get(at) ?? randomBytes(32).toString('base64');
    values.set(at, value);
    return value;
  };
  const pair = (owner: string, one: RenderService['envVars'][number]): [string, string][] => {
    if ('fromGroup' in one) {
      const group = blueprint.envVarGroups.find(({ name }) => name === one.fromGroup);
      if (group === undefined) throw new Error(`render.yaml has no group ${one.fromGroup}`);
      return group.envVars.flatMap((inner) => pair(group.name, inner));
    }
    if ('value' in one) return [[one.key, String(one.value)]];
    if ('generateValue' in one) return [[one.key, generate(owner, one.key)]];
    if ('sync' in one) return [[one.key, enter[one.key] ?? '']];
    if (one.fromDatabase.property !== 'connectionString')
      throw new Error('only the connection string is known here');
    return [[one.key, databaseUrl]];
  };
  return (service) => Object.fromEntries(service.envVars.flatMap((one) => pair(service.name, one)));
}

/** What Render adds by itself (https://render.com/docs/environment-variables); the URL is that of a web service. */
export function platformEnvironment(service: RenderService, port: number): Record<string, string> {
  const common = { RENDER: 'true', IS_PULL_REQUEST: 'false', NODE_ENV: 'production' };
  if (service.type !== 'web') return { ...common, RENDER_EXTERNAL_URL: '' };
  return { ...common, PORT: String(port), RENDER_EXTERNAL_URL: `https://${service.name}.onrender.com` };
}
