// Serves Api over WebSocket and HTTP batch on a free loopback port, which it
// prints, until its standard input closes.
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { RpcSession, WebSocketTransport, nodeHttpBatchRpcResponse } from "capnweb";
import { Api } from "./api.mjs";

globalThis.WebSocket ??= WebSocket; // Node 20 has none

const server = http.createServer((request, response) => {
  nodeHttpBatchRpcResponse(request, response, new Api());
});
new WebSocketServer({ server }).on("connection", ws => {
  const api = new Api();
  api.attach(new RpcSession(new WebSocketTransport(ws), api));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("close", () => process.exit(0));
