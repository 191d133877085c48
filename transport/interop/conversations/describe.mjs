// describe says everything that a program can tell about a value, with the
// order of keys, so that two conversations can be compared.
import { RpcPromise, RpcStub, RpcTarget } from "capnweb";

const hex = bytes => Buffer.from(bytes).toString("hex");

export async function describe(v) {
  if (typeof v === "number") return Object.is(v, -0) ? "-0" : String(v);
  if (typeof v === "bigint") return `${v}n`;
  if (v === undefined || v === null || typeof v === "boolean") return String(v);
  if (typeof v === "string") return JSON.stringify(v.length > 100 ? `${v.slice(0, 20)}… ${v.length}` : v);
  if (v instanceof RpcPromise) return "a promise";
  if (v instanceof RpcStub || v instanceof RpcTarget) return "a stub";
  if (typeof v === "function") return "a function";
  if (v instanceof Date) return `Date(${v.getTime()})`;
  if (v instanceof ArrayBuffer) return `ArrayBuffer(${hex(new Uint8Array(v))})`;
  if (ArrayBuffer.isView(v)) {
    return `${Buffer.isBuffer(v) ? "Uint8Array" : v.constructor.name}(${hex(new Uint8Array(v.buffer, v.byteOffset, v.byteLength))})`;
  }
  if (v instanceof Error) return describeError(v);
  if (v instanceof URL) return `URL(${v.href})`;
  if (v instanceof Headers) return `Headers(${JSON.stringify([...v])})`;
  if (v instanceof Blob) return `Blob(${v.type}, ${v.size}, ${hex(await v.arrayBuffer())})`;
  if (v instanceof Request) {
    return `Request(${v.method} ${v.url} ${v.redirect} ${JSON.stringify([...v.headers])} ${v.body ? await v.text() : "no body"})`;
  }
  if (v instanceof Response) {
    return `Response(${v.status} ${v.statusText} ${JSON.stringify([...v.headers])} ${v.body ? await v.text() : "no body"})`;
  }
  if (v instanceof ReadableStream) return `ReadableStream(${await chunksOf(v)})`;
  if (v instanceof WritableStream) return "a WritableStream";
  if (Array.isArray(v)) return `[${(await Promise.all(v.map(describe))).join(", ")}]`;
  const fields = [];
  for (const key of Object.keys(v)) fields.push(`${JSON.stringify(key)}: ${await describe(v[key])}`);
  return `{${fields.join(", ")}}`;
}

// describeError names the functions of this package that a sent stack shows;
// a stack made here shows none of them.
async function describeError(e) {
  const props = [];
  for (const key of Object.getOwnPropertyNames(e)) {
    if (key !== "stack" && key !== "message") props.push(`${key}: ${await describe(e[key])}`);
  }
  const stack = /throwFromHere/.test(e.stack) ? " with its stack" : "";
  return `${e.constructor.name}(${e.name}, ${JSON.stringify(e.message)}, {${props.join(", ")}})${stack}`;
}

async function chunksOf(stream) {
  const chunks = [];
  try {
    for await (const chunk of stream) chunks.push(await describe(chunk));
  } catch (e) {
    chunks.push(`failed: ${await describe(e)}`);
  }
  return chunks.join(", ");
}
