// What answers in the differential test: graphql-js over a schema in process, and as a service over HTTP.
import { buildSchema, execute, parse, subscribe, validate } from 'graphql';
import { hash } from './differential-chance.mjs';
import { Resolvers, serviceSDL } from './differential-model.mjs';
import { readJSON } from './serve.mjs';

/** Runs one schema's documents as graphql-js would: a service's own, or the merged one. */
export class Executable {
  constructor(sdl, root, typeResolver) {
    this.schema = buildSchema(sdl);
    this.typeResolver = typeResolver;
    this.fieldResolver = (source, args, log, info) => {
      if (source?.made) return source.made.field(source.type, info.fieldName, source.hash, args);
      const { resolvers, type, field } = root(info);
      if (info.operation.operation === 'mutation') log.push(`${resolvers.service.name}.${field}`);
      return resolvers.field(type, field, source?.event ?? 0, args);
    };
    this.subscribeFieldResolver = async function* events() {
      for (let event = 1; event <= 3; event++) yield { event };
    };
  }

  /** {result} with data and errors, {refused} without data, or {events} of a subscription. */
  async run({ query, variables, operationName }, log) {
    let document;
    try {
      document = parse(query);
    } catch (problem) {
      return { refused: [problem] };
    }
    const problems = validated(this.schema, document);
    if (problems.length) return { refused: problems };
    const args = {
      ...this,
      document,
      variableValues: variables,
      operationName: operationName || undefined,
      contextValue: log,
    };
    const operation = document.definitions.find(
      (d) => d.kind === 'OperationDefinition' && (!args.operationName || d.name?.value === operationName),
    );
    if (operation?.operation === 'subscription') {
      const events = await subscribe(args);
      if (!events[Symbol.asyncIterator]) return { refused: events.errors, subscription: true };
      const all = [];
      for await (const event of events) all.push(event);
      return { events: all };
    }
    const result = await execute(args);
    return 'data' in result ? { result } : { refused: result.errors };
  }
}

/** The problems of a document; a rule of graphql-js throws on some. */
function validated(schema, document) {
  try {
    return validate(schema, document);
  } catch (problem) {
    return [problem];
  }
}

/** A service over HTTP, with manners that change from answer to answer and are all legal. */
export class Served {
  constructor(service) {
    this.resolvers = new Resolvers(service);
    const { roots } = service;
    this.executable = new Executable(
      serviceSDL(service),
      (info) => {
        const root = Object.values(roots).find((r) => r.name === info.parentType.name);
        return { resolvers: this.resolvers, type: root.name, field: info.fieldName };
      },
      (value) => value.type,
    );
    this.log = [];
    this.refusals = [];
  }

  async answer(request, response) {
    const body = await readJSON(request);
    const outcome = await this.executable.run(body, this.log);
    const h = hash(body.query, JSON.stringify(body.variables ?? null));
    if (outcome.events) {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      for (const event of outcome.events) response.write(`:hello\n\nevent: next\ndata: ${JSON.stringify(event)}\n\n`);
      return response.end('event: complete\ndata:\n\n');
    }
    if (outcome.refused) this.refusals.push({ body, why: outcome.refused.map((e) => e.message) });
    const { data, errors = outcome.refused } = outcome.result ?? {};
    const answer = h % 2 ? { errors, extensions: { cost: 1 }, data } : { data, errors };
    let text = JSON.stringify(answer, null, h % 3 ? 0 : 2);
    if (h % 5 === 0)
      text = text.replaceAll(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
    if (h % 7 === 0)
      text = text.replaceAll(
        /"([a-z]\w*)":/g,
        (_, key) => `"\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}" : `,
      );
    const kind = [
      'application/json',
      'application/json; charset=utf-8',
      'application/graphql-response+json',
      'application/graphql-response+json;charset=UTF-8',
    ][h % 4];
    response.writeHead(outcome.refused && h % 4 > 1 ? 400 : 200, {
      'content-type': kind,
      ...(h % 11 === 0 && { connection: 'close' }),
    });
    if (h % 3 === 1) {
      const bytes = Buffer.from(text);
      response.write(bytes.subarray(0, bytes.length >> 1));
      return response.end(bytes.subarray(bytes.length >> 1));
    }
    return response.end(`${text}${h % 13 === 0 ? ' \r\n\t' : ''}`);
  }
}
