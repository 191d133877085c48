// The WebSocket sessions that a driver holds, with what a test wants to know of each: the order of its frames and how it
// ended.
import { newWebSocketRpcSession } from 'capnweb';
import { WebSocket } from 'ws';
import { describe } from './chains.mjs';

globalThis.WebSocket ??= WebSocket; // capnweb reads the constants of the global, which node 20 has not

export class Session {
  sent = 0;
  received = 0;
  sentBeforeFirstAnswer = 0;
  broken = null;
  kept = new Map();
  watches = new Map();

  constructor(url) {
    this.socket = new WebSocket(url, { maxPayload: 1 << 30 });
    this.#count();
    this.main = newWebSocketRpcSession(this.socket);
    this.main.onRpcBroken((error) => (this.broken = describe(error)));
  }

  #count() {
    const send = this.socket.send.bind(this.socket);
    this.socket.send = (...args) => {
      this.sent += 1;
      if (this.received === 0) this.sentBeforeFirstAnswer += 1;
      send(...args);
    };
    this.socket.on('message', () => (this.received += 1));
  }

  from(name) {
    if (!name) return this.main;
    const stub = this.kept.get(name);
    if (!stub) throw new Error(`nothing kept as ${name}`);
    return stub;
  }

  /** Stops or resumes reading the socket itself: what the peer sends stays with the peer. */
  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }

  report() {
    const { sent, received, sentBeforeFirstAnswer, broken } = this;
    return { sent, received, sentBeforeFirstAnswer, broken };
  }

  close() {
    this.socket.terminate();
  }
}

/** A WebSocket that speaks whatever it is told to, for input no client library would send. */
export class RawSocket {
  frames = [];
  closed = null;

  constructor(url) {
    this.socket = new WebSocket(url, { maxPayload: 1 << 30 });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
    });
    this.socket.on('message', (data) => this.frames.push(data.toString().slice(0, 4096)));
    this.socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
  }

  report() {
    return { frames: this.frames, closed: this.closed };
  }
}
