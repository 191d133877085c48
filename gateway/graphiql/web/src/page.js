// GraphiQL on the gateway that this page comes from.
import 'graphiql/style.css';
import './page.css';
import { GraphiQL } from 'graphiql';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { fetcher } from './fetcher.js';

globalThis.MonacoEnvironment = {
  getWorker(_, label) {
    const name = WORKERS[`${label}.worker`] ?? WORKERS['editor.worker'];
    return new Worker(new URL(name, import.meta.url), { type: 'module' });
  },
};

const welcome = `# The services of this site, as one API.
#
# Ctrl-Enter runs the query below.
# Ctrl-Space shows what can stand at the cursor.
# The book at the upper left has every field.
# The arrows at the lower left fetch the schema
# again, after a service has come or gone.

{
  __schema {
    queryType {
      fields {
        name
      }
    }
  }
}
`;

const logo = createElement(GraphiQL.Logo, null, 'Catalyst gateway');
createRoot(document.getElementById('graphiql')).render(createElement(GraphiQL, { fetcher, defaultQuery: welcome }, logo));
