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
# Press Ctrl-Enter, or the button beside this text, to run the query.
# Ctrl-Space shows what can stand where the cursor is, and the book at
# the upper left has every field there is.
#
# A service that has just been added shows after a click on the arrows
# at the lower left: they ask the gateway for its schema again.

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
