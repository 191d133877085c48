// Random GraphQL services, and one schema that is what a gateway should make of them: same resolvers, in one process.
import {
  GraphQLError,
  buildSchema,
  getNamedType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { hash, texts } from './differential-chance.mjs';

const fieldNames = ['id', 'name', 'kind', 'owner', 'items', 'next', 'value', '_x'];
export const sharedNames = new Set(['Any', 'Unit', 'Length', 'Node', 'Named', 'Page']);
const scalars = ['Int', 'Float', 'String', 'Boolean', 'ID'];

/** Types that every service has alike, so that the gateway makes one of each. */
const shared = [
  { kind: 'scalar', name: 'Any', description: 'Whatever JSON can say.', url: 'https://scalars.example/any' },
  {
    kind: 'enum',
    name: 'Unit',
    values: [{ name: 'METRE' }, { name: 'FOOT', deprecated: 'use METRE' }, { name: 'true_' }],
  },
  {
    kind: 'type',
    name: 'Length',
    interfaces: [],
    fields: [
      { name: 'unit', type: 'Unit!', args: [] },
      { name: 'value', type: 'Float', args: [] },
    ],
  },
  { kind: 'interface', name: 'Node', interfaces: [], fields: [{ name: 'node', type: 'ID!', args: [] }] },
  { kind: 'interface', name: 'Named', interfaces: [], fields: [{ name: 'label', type: 'String', args: [] }] },
  {
    kind: 'input',
    name: 'Page',
    fields: [
      { name: 'first', type: 'Int! = 10' },
      { name: 'after', type: 'ID' },
      { name: 'units', type: '[Unit!]' },
    ],
  },
];

/** A random service. With alike, services of all seeds call their types alike, and none of them can be shared. */
export function randomService(chance, name, { alike }) {
  const service = { name, types: shared.map((t) => ({ ...t })), roots: {}, knowsNote: chance.is(0.7) };
  const own = (base) => (alike ? base : `${name.toUpperCase()}${base}`);
  const types = {
    enums: Array.from({ length: chance.between(1, 2) }, (_, i) => own(`Colour${i}`)),
    interfaces: Array.from({ length: chance.between(1, 2) }, (_, i) => own(`Thing${i}`)),
    objects: Array.from({ length: chance.between(2, 4) }, (_, i) => own(`Object${i}`)),
    unions: Array.from({ length: chance.between(1, 2) }, (_, i) => own(`Either${i}`)),
    inputs: Array.from({ length: chance.between(1, 3) }, (_, i) => own(`Filter${i}`)),
  };
  const maker = new Maker(chance, service, types);
  for (const n of types.enums) maker.enumeration(n, `only_${name}`);
  for (const n of types.inputs) maker.input(n, `only_${name}`);
  maker.interfaces();
  for (const n of types.objects) maker.object(n, `only_${name}`);
  for (const n of types.unions) maker.union(n);
  maker.roots(alike ? '' : `${name}_`);
  return service;
}

class Maker {
  constructor(chance, service, names) {
    Object.assign(this, { chance, service, names, usual: {}, inputsSoFar: ['Page'] });
  }

  #add(type) {
    if (this.chance.is(0.3))
      type.description = this.chance.of(['A **thing**.', 'Two\nlines, "quoted".', '"""not the end', ' indented']);
    this.service.types.push(type);
  }

  #deprecated = () => (this.chance.is(0.12) ? this.chance.of(['old', 'say "no"', 'No longer supported']) : undefined);

  enumeration(name, only) {
    const values = Array.from({ length: this.chance.between(1, 4) }, (_, i) => ({
      name: `V${i}`,
      deprecated: this.#deprecated(),
    }));
    this.#add({ kind: 'enum', name, values: [...values, { name: only }] });
  }

  #wrapped(name, { mustBeNullable = false } = {}) {
    const bang = () => (this.chance.is(0.35) ? '!' : '');
    let type = name + bang();
    for (let lists = 0; lists < 3 && this.chance.is(0.25); lists++) type = `[${type}]${bang()}`;
    return mustBeNullable ? type.replace(/!$/, '') : type;
  }

  input(name, only) {
    const leaves = [...scalars, 'Any', 'Unit', ...this.names.enums];
    const fields = Array.from({ length: this.chance.between(1, 4) }, (_, i) => ({
      name: fieldNames[i],
      description: this.chance.is(0.2) ? 'What to look for.' : undefined,
      type: this.chance.is(0.3)
        ? this.#wrapped(this.chance.of([name, ...this.inputsSoFar]), { mustBeNullable: true })
        : this.#wrapped(this.chance.of(leaves)),
    }));
    for (const f of fields) if (!f.type.endsWith('!')) f.deprecated = this.#deprecated();
    this.inputsSoFar.push(name);
    const all = [...fields, { name: only, type: 'Int' }];
    const oneOf = this.chance.is(0.15);
    if (oneOf) for (const f of all) f.type = f.type.replace(/!$/, '');
    this.#add({ kind: 'input', name, oneOf, fields: all });
  }

  #arguments() {
    if (this.chance.is(0.6)) return [];
    const leaves = [...scalars, 'Any', 'Unit', ...this.names.enums, ...this.inputsSoFar, ...this.inputsSoFar];
    return ['by', 'first', 'where'].slice(0, this.chance.between(1, 3)).map((name) => {
      const type = this.#wrapped(this.chance.of(leaves));
      return { name, type, deprecated: type.endsWith('!') ? undefined : this.#deprecated() };
    });
  }

  /** A field; of one name they are mostly of one type, so that selections on different types can be merged. */
  #field(name) {
    const { enums, interfaces, objects, unions } = this.names;
    const field = { name, args: this.#arguments(), deprecated: this.#deprecated() };
    if (this.chance.is(0.2)) field.description = 'A field.';
    const leaf = () => this.chance.of([...scalars, 'Any', 'Unit', 'Length', ...enums]);
    field.type = this.#wrapped(
      this.chance.is(0.5) ? leaf() : this.chance.of([...interfaces, ...objects, ...unions, 'Node', 'Named']),
    );
    return (this.usual[name] = this.usual[name] && this.chance.is(0.9) ? { ...this.usual[name] } : field);
  }

  #fields = (n) => this.chance.some(fieldNames, n / fieldNames.length).map((name) => this.#field(name));

  interfaces() {
    const [first, second] = this.names.interfaces;
    const fields = [this.#field('id'), ...this.#fields(2).filter((f) => f.name !== 'id')];
    this.#add({ kind: 'interface', name: first, interfaces: [], fields });
    this.interfaceFields = { [first]: fields };
    if (second) {
      const more = this.#fields(2).filter((f) => !fields.some((g) => g.name === f.name));
      this.interfaceFields[second] = [...fields, ...more];
      this.#add({ kind: 'interface', name: second, interfaces: [first], fields: [...fields, ...more] });
    }
  }

  object(name, only) {
    const [first, second] = this.names.interfaces;
    const all = second ? [first, second] : [first];
    const interfaces = name === this.names.objects[0] ? all : this.chance.of([[], [first], all]); // an interface of nothing has no fragments
    const inherited = this.interfaceFields[interfaces.at(-1)] ?? [];
    const own = this.#fields(4).filter((f) => !inherited.some((g) => g.name === f.name));
    const common = shared.filter(
      (t) =>
        t.kind === 'interface' && (this.chance.is(0.3) || (name === this.names.objects[0]) === (t.name === 'Node')),
    );
    const fields = [...inherited, ...own, ...common.flatMap((t) => t.fields), { name: only, type: 'Int', args: [] }];
    this.#add({ kind: 'type', name, interfaces: [...interfaces, ...common.map((t) => t.name)], fields });
  }

  union(name) {
    const members = this.chance.some(this.names.objects, 0.6);
    this.#add({ kind: 'union', name, members: members.length ? members : [this.names.objects[0]] });
  }

  roots(prefix) {
    const root = (op, usual, n) => {
      const fields = Array.from({ length: n }, (_, i) => ({ ...this.#field(`${op}${i}`), name: `${prefix}${op}${i}` }));
      this.service.roots[op] = { name: this.chance.is(0.5) ? usual : `${usual}Root`, fields };
    };
    root('query', 'Query', this.chance.between(3, 6));
    if (this.chance.is(0.3)) this.#nest(prefix);
    if (this.chance.is(0.8)) root('mutation', 'Mutation', this.chance.between(2, 4));
    if (this.chance.is(0.8)) root('subscription', 'Subscription', this.chance.between(1, 2));
  }

  /** The root can be reached from itself: there it has the fields of its service only, and a name of its own. */
  #nest(prefix) {
    const { query } = this.service.roots;
    this.service.nested = query.name;
    query.fields.push({ name: `${prefix}again`, type: this.#wrapped(query.name), args: [] });
  }
}

const quoted = (text) => JSON.stringify(text);
const described = (d) => (d.description ? `${quoted(d.description)}\n` : '');
const deprecation = (d) => (d.deprecated ? ` @deprecated(reason: ${quoted(d.deprecated)})` : '');

/** Names that a service's types and root fields have elsewhere; its own without one. */
export const ownNames = { type: (name) => name, field: (_, name) => name };

function printed(type, names) {
  const typed = (t) => t.replace(/[A-Za-z_]\w*/, names.type);
  const input = (f) =>
    `${described(f)}${f.name}: ${typed(f.type)}${f.default === undefined ? '' : ` = ${f.default}`}${deprecation(f)}`;
  const output = (f) =>
    `${described(f)}${f.name}${f.args.length ? `(${f.args.map(input).join(' ')})` : ''}: ${typed(f.type)}${deprecation(f)}`;
  const body = () => `{\n${type.fields.map(type.kind === 'input' ? input : output).join('\n')}\n}`;
  const head = `${described(type)}${type.kind} ${names.type(type.name)}`;
  switch (type.kind) {
    case 'scalar':
      return `${head}${type.url ? ` @specifiedBy(url: ${quoted(type.url)})` : ''}`;
    case 'enum':
      return `${head} { ${type.values.map((v) => v.name + deprecation(v)).join(' ')} }`;
    case 'union':
      return `${head} = ${type.members.map(names.type).join(' | ')}`;
    case 'input':
      return `${head}${type.oneOf ? ' @oneOf' : ''} ${body()}`;
    default:
      return `${head}${type.interfaces.length ? ` implements ${type.interfaces.map(names.type).join(' & ')}` : ''} ${body()}`;
  }
}

const note =
  'directive @note(text: String = "none", at: [Int!]) repeatable on FIELD | QUERY | MUTATION | FRAGMENT_SPREAD | INLINE_FRAGMENT';

export function serviceSDL(service) {
  const roots = Object.entries(service.roots);
  const ownRoots = roots.map(([, root]) => printed({ kind: 'type', interfaces: [], ...root }, ownNames));
  const schema = `schema { ${roots.map(([op, root]) => `${op}: ${root.name}`).join(' ')} }`;
  return [
    ...(service.knowsNote ? [note] : []),
    schema,
    ...ownRoots,
    ...service.types.map((t) => printed(t, ownNames)),
  ].join('\n');
}

/** The one schema of services; names(service) says how each is called in it. */
export function mergedSDL(services, names) {
  const parts = services.some((s) => s.knowsNote) ? [note] : [];
  const seen = new Set();
  for (const service of services) {
    const called = names(service);
    for (const type of service.types) {
      if (seen.has(called.type(type.name))) continue;
      seen.add(called.type(type.name));
      parts.push(printed(type, called));
    }
  }
  for (const s of services.filter((s) => s.nested))
    parts.push(printed({ kind: 'type', interfaces: [], ...s.roots.query }, names(s)));
  for (const [op, name] of [
    ['query', 'Query'],
    ['mutation', 'Mutation'],
    ['subscription', 'Subscription'],
  ]) {
    const fields = services.flatMap((s) => (s.roots[op]?.fields ?? []).map((f) => renamedRoot(f, op, names(s))));
    if (fields.length) parts.push(printed({ kind: 'type', name, interfaces: [], fields }, ownNames));
  }
  return parts.join('\n');
}

function renamedRoot(f, op, names) {
  const typed = (t) => t.replace(/[A-Za-z_]\w*/, names.type);
  return {
    ...f,
    name: names.field(op, f.name),
    type: typed(f.type),
    args: f.args.map((a) => ({ ...a, type: typed(a.type) })),
  };
}

/** Gives some inputs of a service default values, which literal(type) makes. */
export function addDefaults(chance, service, literal) {
  const schema = buildSchema(serviceSDL(service));
  const give = (inputs, find, inner = false) => {
    for (const input of inputs) {
      if (
        input.type.includes('=') ||
        input.default !== undefined ||
        chance.is(0.6) ||
        (inner && isInputObjectType(getNamedType(find(input.name))))
      )
        continue;
      input.default = literal(find(input.name));
    }
  };
  for (const type of service.types) {
    const made = schema.getType(type.name);
    if (type.kind === 'input' && type.name !== 'Page' && !type.oneOf)
      give(type.fields, (n) => made.getFields()[n].type, true);
    if (type.kind === 'type' && type.interfaces.length === 0)
      for (const f of type.fields) give(f.args, (n) => argument(made, f.name, n));
  }
  for (const root of Object.values(service.roots)) {
    for (const f of root.fields) give(f.args, (n) => argument(schema.getType(root.name), f.name, n));
  }
}

const argument = (type, field, name) => type.getFields()[field].args.find((a) => a.name === name).type;

/** The resolvers of a service: values follow from where they stand, so that a part of a document gets what the whole would. */
export class Resolvers {
  constructor(service) {
    this.service = service;
    this.schema = buildSchema(serviceSDL(service));
  }

  /** The value of a field of a parent of the type typeName. */
  field(typeName, fieldName, parentHash, args) {
    const { type } = this.schema.getType(typeName).getFields()[fieldName];
    return this.#value(type, hash(parentHash, fieldName, JSON.stringify(args)));
  }

  #value(type, h) {
    if (h % 31 === 0) throw new GraphQLError(`broken ${h} at "x"`, { extensions: { code: 'BROKEN', deep: [{ h }] } });
    if (isNonNullType(type)) return h % 41 === 1 ? null : this.#present(type.ofType, h);
    return h % 9 === 0 ? null : this.#present(type, h);
  }

  #present(type, h) {
    if (isListType(type)) return Array.from({ length: h % 4 }, (_, i) => this.#element(type.ofType, hash(h, i)));
    if (isAbstractType(type)) {
      const possible = this.schema.getPossibleTypes(type);
      return possible.length ? { made: this, type: possible[h % possible.length].name, hash: h } : null;
    }
    if (isObjectType(type)) return { made: this, type: type.name, hash: h };
    return isEnumType(type) ? type.getValues()[h % type.getValues().length].value : leaf(type.name, h);
  }

  #element(type, h) {
    try {
      return this.#value(type, h);
    } catch (broken) {
      return broken;
    }
  }
}

function leaf(name, h) {
  switch (name) {
    case 'Int':
      return (h | 0) % 1000;
    case 'Float':
      return h / 7;
    case 'Boolean':
      return h % 2 === 0;
    case 'ID':
      return h % 3 ? `id${h}` : h % 1000;
    case 'Any':
      return [{ a: [1, null, { b: texts[h % texts.length] }] }, 1e300, texts[h % texts.length], false, [], {}][h % 6];
    default:
      return texts[h % texts.length];
  }
}

export const isComposite = (type) => !isLeafType(getNamedType(type)) && !isInputObjectType(getNamedType(type));
