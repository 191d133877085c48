import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { getOperationAST, parse } from 'graphql';
import { createClient } from 'graphql-sse';

// Beside the page, wherever a proxy has put that.
const url = new URL('graphql', document.baseURI).href;

const ask = createGraphiQLFetcher({ url, enableIncrementalDelivery: false });

/**
 * How GraphiQL reaches the gateway. Subscriptions come as server-sent events: unlike a browser's WebSocket, such a request
 * has the headers that the user typed, which the gateway may be told to forward.
 */
export function fetcher(request, options) {
  const headers = options?.headers;
  return subscribes(request) ? subscription(request, headers) : ask(request, { headers });
}

/** Reads the document itself: what GraphiQL has read of it, in options, lags behind the keyboard. */
function subscribes({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === 'subscription';
  } catch {
    return false; // the gateway says what is wrong with it
  }
}

/** A subscription as GraphiQL takes it. One that broke stays so: repeating it would hide the events that were missed. */
const subscription = (request, headers) => ({
  subscribe(observer) {
    const client = createClient({ url, headers, retryAttempts: 0 });
    const unsubscribe = client.subscribe(request, {
      next: (result) => observer.next(result),
      complete: () => observer.complete(),
      error: async (error) => observer.error(await reason(error)),
    });
    return { unsubscribe };
  },
});

/** What the gateway said, if it refused, or else why it could not be heard. */
async function reason(error) {
  const answer = await error.response?.json().catch(() => undefined);
  return answer?.errors ?? error;
}
