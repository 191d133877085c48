// Many GraphQL services as one schema, by @graphql-tools/stitch. On a clash of names the last service in the list wins.
import { buildHTTPExecutor } from '@graphql-tools/executor-http';
import { stitchSchemas } from '@graphql-tools/stitch';
import { schemaFromExecutor } from '@graphql-tools/wrap';
import { buildSchema } from 'graphql';

/** A service that answers no introspection within this many milliseconds counts as down. */
const patience = 2000;

export const emptySchema = () => buildSchema('type Query { services: [String!] }');

/** The stitched schema of services, or an Error whose message begins with the service at fault. */
export async function stitch(services) {
  if (services.length === 0) return emptySchema();
  const found = await Promise.allSettled(services.map(introspect));
  const down = found.findIndex((outcome) => outcome.status === 'rejected');
  if (down >= 0) throw blame(services[down], found[down].reason);
  const subschemas = found.map((outcome) => outcome.value);
  try {
    return stitchSchemas({ subschemas });
  } catch (reason) {
    throw blame(firstThatBreaks(services, subschemas), reason);
  }
}

async function introspect({ url, token }) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const executor = buildHTTPExecutor({ endpoint: url, headers, timeout: patience });
  return { schema: await schemaFromExecutor(executor), executor };
}

/** The service with which a growing prefix of the list first fails to stitch. */
function firstThatBreaks(services, subschemas) {
  for (let n = 1; n < services.length; n++) {
    try {
      stitchSchemas({ subschemas: subschemas.slice(0, n) });
    } catch {
      return services[n - 1];
    }
  }
  return services.at(-1);
}

const blame = (service, reason) => new Error(`service ${service.name} (${service.url}): ${reason?.message ?? reason}`);
