/** RFC 7265, 3.4: name, parameters, type, and one value or more. */
export type Property = readonly [
  name: string,
  parameters: Record<string, unknown>,
  type: string,
  ...values: unknown[],
];

/** RFC 7265, 3.3: name, properties, components. Names are in lower case. */
export type Component = readonly [
  name: string,
  properties: readonly Property[],
  components: readonly Component[],
];

/** The first property of this name. */
export function findProperty(component: Component, name: string): Property | undefined {
  return component[1].find((property) => property[0] === name);
}

/** The components of this name right below this one, in their order. */
export function childrenOf(component: Component, name: string): Component[] {
  return component[2].filter((child) => child[0] === name);
}

/** The first value of a property as text; '' if there is none, or it is a structure. */
export function textOf(property: Property | undefined): string {
  const value = property?.[3];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
