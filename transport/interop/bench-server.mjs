// Serves echo over WebSocket and HTTP batch on a free loopback port, which it
// prints, until its standard input closes. It says what CPU time it has used.
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { RpcTarget, newWebSocketRpcSession, nodeHttpBatchRpcResponse } from "capnweb";

globalThis.WebSocket ??= WebSocket; // Node 20 has none

class Api extends RpcTarget {
  echo(value) { return value; }
  usage() {
    const { user, system } = process.cpuUsage();
    return { cpu: user + system };
  }
}

const server = http.createServer((request, response) => { nodeHttpBatchRpcResponse(request, response, new Api()); });
new WebSocketServer({ server }).on("connection", ws => newWebSocketRpcSession(ws, new Api()));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("close", () => process.exit(0));
