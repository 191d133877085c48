// A peer of a site that is a program (contract section 5): a session over one WebSocket, and a copy of what it was told.
import { RpcTarget, newWebSocketRpcSession } from 'capnweb';
import { WebSocket } from 'ws';

globalThis.WebSocket ??= WebSocket; // capnweb reads the constants of the global, which node 20 has not

/** What a site's updates tell, by origin site and id. A dump is taken as a whole, at its end. */
export class Copy {
  routes = new Map();
  dumps = 0;
  changes = 0; // items outside a dump
  version = 0; // of the site's table, as of the last end of a dump
  since = 0; // version from which the last dump went on; 0 when it held everything
  faults = []; // what no site should say
  #dump = null; // its items so far

  /** A session has begun: it starts with a dump. */
  begin() {
    this.#dump = [];
  }

  take(updates) {
    for (const update of updates) {
      if (!Number.isInteger(update.version)) this.#fault('has no version', update);
      if (!this.#dump) this.#change(update);
      else if (update.type === 'endOfRib') this.#end(update);
      else this.#dump.push(update);
    }
  }

  #end({ version, since = 0 }) {
    const items = this.#dump;
    this.#dump = null;
    if (!since) this.routes = new Map();
    for (const item of items) this.#apply(item);
    Object.assign(this, { version, since, dumps: this.dumps + 1 });
  }

  #change(update) {
    this.changes += 1;
    this.#apply(update);
  }

  #apply(update) {
    const key = `${update.route?.site ?? update.site} ${update.route?.id ?? update.id}`;
    switch (update.type) {
      case 'add':
        if (JSON.stringify(this.routes.get(key)) === JSON.stringify(update.route)) this.#fault('says nothing new', update);
        this.routes.set(key, update.route);
        break;
      case 'remove':
        if (!this.routes.delete(key)) this.#fault('removes what is not there', update);
        break;
      default:
        this.#fault('is of no known type, or ends no dump', update);
    }
  }

  #fault(what, update) {
    this.faults.push(`${what}: ${JSON.stringify(update)}`);
  }

  report() {
    const { dumps, changes, version, since, faults } = this;
    return { dumps, changes, version, since, faults, routes: [...this.routes.values()] };
  }
}

/** Callbacks: with all methods, with the one that it must have, as a record of functions, one that fails, and none. */
const callbacks = {
  whole: (session) =>
    new (class extends RpcTarget {
      update(updates) {
        session.take(updates);
      }
      keepAlive() {
        session.keepAlives += 1;
      }
      close(reason) {
        session.closed = reason;
      }
    })(),
  bare: (session) =>
    new (class extends RpcTarget {
      update(updates) {
        session.take(updates);
      }
    })(),
  record: (session) => ({
    update(updates) {
      session.take(updates);
    },
  }),
  throwing: () =>
    new (class extends RpcTarget {
      update() {
        throw new Error('this program takes nothing');
      }
    })(),
  none: () => 'no callback',
};

/** One session with a site, at any of its nodes; without info it is a collector's. */
export class PeerSession {
  keepAlives = 0;
  closed = null; // what the site gave as the reason
  broken = null;
  #scope;

  constructor(url, copy) {
    this.copy = copy;
    this.socket = new WebSocket(url);
    const api = newWebSocketRpcSession(this.socket);
    this.api = api;
    this.ended = new Promise((resolve) => api.onRpcBroken(resolve)).then((error) => (this.broken = error));
  }

  /** Resolves with the site's PeerInfo. */
  async open({ secret, info, style = 'whole' }) {
    this.copy.begin();
    const callback = callbacks[style](this);
    this.#scope = this.api.connectionFromIBGPPeer(secret);
    return await (info ? this.#scope.open(callback, info) : this.#scope.open(callback));
  }

  take(updates) {
    this.copy.take(updates);
  }

  update(updates) {
    return this.#scope.update(updates);
  }

  keepAlive() {
    return this.#scope.keepAlive();
  }

  close(reason) {
    return this.#scope.close(reason);
  }

  /** Stops reading: the site's calls get no answer. */
  fallSilent() {
    this.socket.pause();
  }

  wake() {
    this.socket.resume();
  }

  /** Drops the connection without a word. */
  drop() {
    this.socket.terminate();
  }
}
