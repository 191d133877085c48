// A user of GraphiQL: node graphiql.mjs URL --browser /usr/bin/chromium. It opens the page in a browser, works with it, and
// prints as one line of JSON what the page showed. Behind the gateway it expects the services books and countdown.
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

const { values: flags, positionals } = parseArgs({ allowPositionals: true, options: { browser: { type: 'string' } } });
const home = new URL(positionals[0]);

// What the page is made of.
const editor = '.graphiql-query-editor';
const result = '.result-window';
const button = '.graphiql-execute-button';
const docs = '.graphiql-doc-explorer';

const patience = 30_000;

// No name can be looked up, so that nothing but the gateway can be reached. The browser ends with this program: its pipe does.
const browser = await puppeteer.launch({
  executablePath: flags.browser,
  pipe: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
});
try {
  console.log(JSON.stringify(await visit(await browser.newPage())));
} finally {
  await browser.close();
}

async function visit(page) {
  page.setDefaultTimeout(patience);
  await page.setViewport({ width: 1280, height: 800 });
  const heard = await listen(page);
  await page.goto(home.href);
  return {
    title: await page.title(),
    ...(await queries(page)),
    docs: await readsDocs(page),
    ...(await subscriptions(page)),
    ...heard,
  };
}

async function queries(page) {
  const welcome = await shows(page, editor, 'queryType');
  await page.click(button);
  const fields = await shows(page, result, '"countdowns"');
  const data = await asks(page, '{ allBooks { title } countdowns }', '"countdowns": 0');
  const mistake = await asks(page, '{ allBooks { titel } }', 'titel');
  return { welcome, fields, data, mistake };
}

async function readsDocs(page) {
  await page.click('button[aria-label="Show Documentation Explorer"]');
  await shows(page, docs, 'Root Types');
  await page.click(`${docs} a`);
  const text = await shows(page, docs, 'allBooks');
  await page.click('button[aria-label="Hide Documentation Explorer"]');
  return text;
}

async function subscriptions(page) {
  const events = await asks(page, 'subscription { countdown(from: 3) }', '"countdown": 0');
  const refusal = await asks(page, 'subscription { countdwn(from: 3) }', 'countdwn');
  await asks(page, 'subscription { countdown(from: 1000000) }', '"countdown": 9');
  await underWay(page, 1);
  await page.click(`${button}[aria-label^="Stop"]`);
  await page.waitForSelector(`${button}[aria-label^="Execute"]`);
  await underWay(page, 0);
  return { events, refusal, stopped: true };
}

/** Notes what the browser complains about, and which requests went to another server. */
async function listen(page) {
  const heard = { complaints: [], strangers: [], assets: 0 };
  const complain = (text) => void heard.complaints.push(text);
  page.on('console', (message) => {
    const refused = message.text().includes('status of 400') && message.location().url.endsWith('/graphql'); // a mistake, made here
    if (['error', 'warn', 'assert'].includes(message.type()) && !refused) complain(message.text());
  });
  page.on('pageerror', (error) => complain(String(error)));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    if (why !== 'net::ERR_ABORTED') complain(`${request.url()}: ${why}`); // the page's own doing, as when it stops a subscription
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.origin !== home.origin) heard.strangers.push(url.href);
    if (url.pathname.startsWith('/assets/')) heard.assets += 1;
  });
  await page.exposeFunction('complain', complain);
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (e) => window.complain(`${e.violatedDirective} forbids ${e.blockedURI}`));
  });
  return heard;
}

/** Types a document in the place of what the editor has, runs it, and waits for an answer. */
async function asks(page, text, answer) {
  await page.click(`${editor} .view-lines`);
  await chord(page, 'A');
  await page.keyboard.press('Backspace'); // a brace would go around what is selected
  await page.keyboard.type(text); // the editor closes a brace, and takes the one that is typed for its own
  await chord(page, 'Enter');
  return shows(page, result, answer);
}

async function chord(page, key) {
  await page.keyboard.down('Control');
  await page.keyboard.press(key);
  await page.keyboard.up('Control');
}

/** Waits until the part of the page has the text, and answers all that it shows. */
async function shows(page, selector, text) {
  const read = (at) => document.querySelector(at)?.innerText.replace(/\s+/g, ' ') ?? '';
  try {
    await page.waitForFunction(`(${read})(${JSON.stringify(selector)}).includes(${JSON.stringify(text)})`);
  } catch (error) {
    throw new Error(`${selector} does not show ${text}, but: ${await page.evaluate(read, selector)}`, { cause: error });
  }
  return page.evaluate(read, selector);
}

/** Waits until the service counts that many countdowns. */
async function underWay(page, count) {
  await page.waitForFunction(
    async (want) => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch('graphql', { method: 'POST', headers, body: '{"query":"{ countdowns }"}' });
      return (await response.json()).data.countdowns === want;
    },
    { polling: 100 },
    count,
  );
}
