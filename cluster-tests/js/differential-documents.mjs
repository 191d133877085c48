// Random documents for a schema, most of them valid: graphql-js says which.
import { getNamedType, isAbstractType, isEnumType, isInputObjectType, isListType, isNonNullType } from 'graphql';
import { texts } from './differential-chance.mjs';

/** A random literal of an input type, for a document or a default. variable(type) may give a variable instead. */
export function literal(chance, type, variable = () => undefined, depth = 0) {
  const given = variable(type);
  if (given) return given;
  if (isNonNullType(type)) return present(chance, type.ofType, variable, depth);
  return chance.is(0.12) ? 'null' : present(chance, type, variable, depth);
}

function present(chance, type, variable, depth) {
  if (isListType(type)) {
    if (chance.is(0.2)) return literal(chance, nonNull(type.ofType), (inner) => variable(inner, true), depth); // one value for a list of one
    return `[${Array.from({ length: chance.below(3) }, () => literal(chance, type.ofType, variable, depth + 1)).join(chance.of([', ', ' ', ',']))}]`;
  }
  if (isEnumType(type)) return chance.of(type.getValues()).name;
  if (isInputObjectType(type)) {
    const fields = chosen(chance, type, depth);
    const inner = type.isOneOf ? (t) => variable(t, true) : variable; // a variable there must not be nullable: graphql-js lets it be
    return `{${fields.map((f) => `${f.name}: ${literal(chance, f.type, inner, depth + 1)}`).join(', ')}}`;
  }
  return scalarLiteral(chance, type.name, variable, depth);
}

/** The fields of an input object that get a value: all that must, of a @oneOf mostly one. */
function chosen(chance, type, depth) {
  const fields = Object.values(type.getFields());
  if (type.isOneOf && !chance.is(0.1)) return [chance.of(depth < 3 ? fields : fields.slice(-1))];
  return fields.filter((f) => needed(f) || (depth < 3 && chance.is(0.5)));
}

const nonNull = (type) => (isNonNullType(type) ? type.ofType : type);
const needed = (input) => isNonNullType(input.type) && input.defaultValue === undefined;

function scalarLiteral(chance, name, variable, depth) {
  switch (name) {
    case 'Int':
      return String(chance.of([0, -1, 7, 2147483647, -2147483648]));
    case 'Float':
      return chance.of(['0', '1.5', '-2e10', '3', '1E-3']);
    case 'Boolean':
      return chance.of(['true', 'false']);
    case 'ID':
      return chance.of(['"a1"', '17', '"b \\u00e9"']);
    case 'Any':
      return chance.of(['1', '"x"', '{a: [1, {b: ENUM}], c: null}', '[]', 'true', '{}']);
    default:
      return stringLiteral(chance);
  }
}

function stringLiteral(chance) {
  const text = chance.of(texts);
  if (chance.is(0.2) && !/["\\\u0000-\u0008\u000b-\u001f\ud800-\udfff]/.test(text)) return `"""${text}"""`;
  return chance.is(0.3)
    ? JSON.stringify(text).replaceAll(/(?<!\\)[g-t ]/g, (c) => (chance.is(0.2) ? escaped(c) : c))
    : JSON.stringify(text);
}

const escaped = (c) => `\\u00${c.charCodeAt(0).toString(16)}`;

/** A random JSON value of an input type, for a variable. */
export function json(chance, type, depth = 0) {
  if (isNonNullType(type)) return presentJSON(chance, type.ofType, depth);
  return chance.is(0.15) ? null : presentJSON(chance, type, depth);
}

function presentJSON(chance, type, depth) {
  if (chance.is(0.015)) return chance.of(['wrong', 1.5, true, { no: 1 }, [[]], 3000000000]);
  if (isListType(type)) {
    if (chance.is(0.2)) return json(chance, nonNull(type.ofType), depth);
    return Array.from({ length: chance.below(3) }, () => json(chance, type.ofType, depth + 1));
  }
  if (isEnumType(type)) return chance.of(type.getValues()).name;
  if (isInputObjectType(type)) {
    const fields = chosen(chance, type, depth);
    return Object.fromEntries(fields.map((f) => [f.name, json(chance, f.type, depth + 1)]));
  }
  switch (type.name) {
    case 'Int':
      return chance.of([0, -5, 2147483647, 12]);
    case 'Float':
      return chance.of([0, 1.25, -1e21, 3]);
    case 'Boolean':
      return chance.is(0.5);
    case 'ID':
      return chance.of(['a1', 17, '']);
    case 'Any':
      return chance.of([1, 'x', { a: [1, { b: 'c' }], c: null }, [], true]);
    default:
      return chance.of(texts);
  }
}

const aliases = ['a', 'b', 'name', 'same'];

/** Makes one request: {query, variables, operationName?}. */
export class Documents {
  constructor(chance, schema) {
    Object.assign(this, { chance, schema });
  }

  request(op) {
    const count = this.chance.is(0.15) ? 2 : 1;
    const names = count > 1 ? ['First', 'Second'] : [this.chance.is(0.4) ? 'Only' : ''];
    const operations = names.map((name, i) => new Operation(this.chance, this.schema, i ? 'query' : op, name, i));
    const [chosen] = operations;
    const request = { query: this.#spoiled(operations.map((o) => o.text).join('\n')), variables: chosen.values };
    if (chosen.name && (count > 1 || this.chance.is(0.5))) request.operationName = chosen.name;
    if (this.chance.is(0.02)) request.operationName = this.chance.of(['Nobody', '']);
    return request;
  }

  /** Now and then a document with a mistake in it. */
  #spoiled(text) {
    if (!this.chance.is(0.08)) return text;
    const swap = this.chance.of([
      [/\bvalue\b/, 'nothing'],
      [/\bid\b/, 'id { x }'],
      [/: Int/, ': String'],
      [/\$v0\b/, '$other'],
      [/\{/, '{ ...Missing '],
      [/@include/, '@unknown'],
      [/\bon \w+/, 'on Nothing'],
      [/\bon \w+/, 'on Int'],
      [/\(by: /, '(by: 1, by: '],
      [/\btrue\b/, '"true"'],
      [/\bnull\b/, '[{}]'],
      [/\}$/, ''],
      [/\)/, ', more: 1)'],
      [/!/, ''],
      [/\bV0\b/, 'V99'],
      [/fragment/, 'fragment Unused on Length { unit } fragment'],
      [/if: /, 'iff: '],
      [/\{ /, '{ __typename @skip '],
    ]);
    return text.replace(swap[0], swap[1]);
  }
}

class Operation {
  constructor(chance, schema, op, name, nth) {
    Object.assign(this, {
      chance,
      schema,
      name,
      prefix: nth ? 's' : 'v',
      variables: [],
      values: {},
      fragments: [],
      spreadable: [],
      budget: 60,
    });
    const root = {
      query: schema.getQueryType(),
      mutation: schema.getMutationType(),
      subscription: schema.getSubscriptionType(),
    }[op];
    const set = op === 'subscription' ? `{ ${this.#field(root, 0, { plain: true })} }` : this.#set(root, 0);
    const declared = this.variables.map(
      (v) => `$${v.name}: ${v.type}${v.default === undefined ? '' : ` = ${v.default}`}`,
    );
    const head =
      op === 'query' && !name && !declared.length && chance.is(0.5)
        ? ''
        : `${op} ${name}${declared.length ? `(${declared.join(', ')})` : ''}`;
    this.text = [`${head} ${set}`, ...this.fragments].join('\n');
  }

  #set(type, depth) {
    const wanted = this.chance.between(1, depth === 0 ? 5 : 4);
    const items = Array.from({ length: wanted }, () => this.#item(type, depth)).filter(Boolean);
    return `{ ${items.length ? items.join(' ') : '__typename'} }`;
  }

  #item(type, depth) {
    this.budget -= 1;
    const dice = this.chance.below(100);
    if (dice < 12)
      return `... ${this.chance.is(0.7) ? `on ${this.#narrowed(type)} ` : ''}${this.#directives(true)}${this.#deeper(type, depth)}`;
    if (dice < 24) return this.#spread(type, depth);
    return this.#field(type, depth, {});
  }

  /** The set of a fragment: within its own type condition where the last one written has one. */
  #deeper(type, depth) {
    const inner = this.lastCondition ?? type;
    this.lastCondition = undefined;
    return this.#set(inner, depth + 1);
  }

  #narrowed(type) {
    const overlapping = Object.values(this.schema.getTypeMap()).filter(
      (t) =>
        !t.name.startsWith('__') &&
        ((isAbstractType(t) && this.#overlap(t, type)) ||
          t === type ||
          (isAbstractType(type) && this.schema.isSubType(type, t))),
    );
    this.lastCondition = this.chance.of(overlapping);
    return this.lastCondition.name;
  }

  #overlap(a, b) {
    const possible = (t) => (isAbstractType(t) ? this.schema.getPossibleTypes(t) : [t]);
    return possible(a).some((t) => possible(b).includes(t));
  }

  #spread(type, depth) {
    const known = this.spreadable.filter((f) => f.type === type);
    if (known.length && this.chance.is(0.5)) return `...${this.chance.of(known).name} ${this.#directives(true)}`;
    if (depth > 4) return undefined;
    const name = `F${this.prefix}${this.fragments.length}`;
    const at = this.fragments.push('') - 1;
    const condition = this.#narrowed(type);
    this.fragments[at] = `fragment ${name} on ${condition} ${this.#deeper(type, depth)}`;
    this.spreadable.push({ name, type });
    return `...${name} ${this.#directives(true)}`;
  }

  #field(type, depth, { plain = false }) {
    const fields = type.getFields ? Object.values(type.getFields()) : [];
    const shallow = fields.filter((f) => !getNamedType(f.type).getFields && !getNamedType(f.type).getTypes);
    const pool = depth > 4 || this.budget < 0 ? shallow : fields;
    if (!plain && (pool.length === 0 || this.chance.is(0.1)))
      return `${this.chance.is(0.2) ? this.chance.of(['t: ', 'u: ']) : ''}__typename ${this.#directives()}`;
    if (depth === 0 && !plain && this.chance.is(0.05)) return this.#introspection();
    const field = this.chance.of(pool);
    const alias = this.#alias(field);
    const named = getNamedType(field.type);
    const set = named.getFields || named.getTypes ? ` ${this.#set(named, depth + 1)}` : '';
    return `${alias}${field.name}${this.#arguments(field)} ${plain ? '' : this.#directives()}${set}`;
  }

  /** Mostly one that nothing else has: two fields of one key are valid only where they say the same. */
  #alias(field) {
    if (this.chance.is(0.06)) return `${this.chance.of(aliases)}: `;
    return this.chance.is(field.args.length ? 0.85 : 0.2) ? `x${this.budget + 100}: ` : '';
  }

  #introspection() {
    const name = this.chance.of(
      Object.keys(this.schema.getTypeMap()).filter(
        (n) => !/^(__|Query|Mutation|Subscription|String|ID|Int|Float|Boolean)/.test(n),
      ),
    );
    const detail =
      'name kind description specifiedByURL fields(includeDeprecated: true) { name isDeprecated deprecationReason args { name type { kind ofType { name } } } } inputFields { name type { name kind } } enumValues { name }';
    return this.chance.of([
      `__type(name: "${name}") ${this.#directives()} { ${detail} }`,
      `t: __type(name: "Nothing") { name }`,
      `__schema { queryType { name kind __typename } ... @include(if: ${this.#condition()}) { mutationType { name } } }`,
    ]);
  }

  #arguments(field) {
    const args = field.args.filter((a) => needed(a) || this.chance.is(0.6));
    if (!args.length) return '';
    return `(${args.map((a) => `${a.name}: ${literal(this.chance, a.type, (type, oneOfList) => (oneOfList ? undefined : this.#variable(type)))}`).join(', ')})`;
  }

  #directives(fragment = false) {
    const all = [];
    if (this.chance.is(0.12)) all.push(`@include(if: ${this.#condition()})`);
    if (this.chance.is(0.08)) all.push(`@skip(if: ${this.#condition()})`);
    if (!fragment && this.schema.getDirective('note') && this.chance.is(0.03))
      all.push(this.chance.of(['@note', '@note(text: "n") @note(at: [1, 2])', `@note(at: 3)`]));
    return all.length ? `${all.join(' ')} ` : '';
  }

  #condition() {
    return this.chance.is(0.6)
      ? this.#declared('Boolean!', this.schema.getType('Boolean'), true)
      : this.chance.of(['true', 'false']);
  }

  #variable(type) {
    if (!this.chance.is(0.3)) return undefined;
    const same = this.variables.filter((v) => v.type === String(type));
    if (same.length && this.chance.is(0.4)) return `$${this.chance.of(same).name}`;
    if (isNonNullType(type) && this.chance.is(0.15))
      return this.#declared(String(type.ofType), type.ofType, false, literal(this.chance, type));
    const stricter = !isNonNullType(type) && this.chance.is(0.3);
    return this.#declared(stricter ? `${type}!` : String(type), type, stricter || isNonNullType(type));
  }

  #declared(text, type, required, fallback) {
    const name = `${this.prefix}${this.variables.length}`;
    const v = { name, type: text };
    if (fallback !== undefined || this.chance.is(0.2))
      v.default = fallback ?? present(this.chance, nonNull(type), () => undefined, 0);
    this.variables.push(v);
    const absent = v.default !== undefined || !required ? this.chance.is(0.35) : this.chance.is(0.004);
    if (!absent) this.values[name] = required ? presentJSON(this.chance, nonNull(type), 0) : json(this.chance, type);
    return `$${name}`;
  }
}
