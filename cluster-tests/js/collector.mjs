// A program that keeps a copy of a site's table. It opens a session with a callback alone at any node of the site, and
// when that breaks another at the next node; no node and no session is special to it.
import { describe } from './chains.mjs';
import { Copy, PeerSession } from './peer.mjs';

const breath = 50; // ms before it dials again
const openWithin = 5000; // ms

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Collector {
  copy = new Copy();
  sessions = 0;
  broken = []; // why each of its sessions ended, or did not begin
  site = null; // how the site introduced itself
  #urls;
  #how;
  #session = null;

  constructor({ urls, secret, style }) {
    this.#urls = urls;
    this.#how = { secret, style };
    this.#run();
  }

  async #run() {
    for (let i = 0; ; i++) {
      this.broken.push(describe(await this.#hold(this.#urls[i % this.#urls.length])));
      await pause(breath);
    }
  }

  /** Holds a session at a node until it ends, and says why it did. */
  async #hold(url) {
    const session = (this.#session = new PeerSession(url, this.copy));
    const late = setTimeout(() => session.drop(), openWithin);
    try {
      this.site = await session.open(this.#how);
      this.sessions += 1;
      clearTimeout(late);
      return await session.ended;
    } catch (error) {
      return error;
    } finally {
      clearTimeout(late);
      session.drop();
    }
  }

  update(updates) {
    return this.#session.update(updates);
  }

  report() {
    const { sessions, broken, site } = this;
    return { sessions, broken, site, keepAlives: this.#session?.keepAlives, ...this.copy.report() };
  }
}
