// Every way in which a client of Node.js reaches a server.
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport, compressionGzip } from "@connectrpc/connect-node";

const gzip = {
  acceptCompression: [compressionGzip],
  sendCompression: compressionGzip,
  // Messages of the checks are small.
  compressMinBytes: 0,
};
const plain = { acceptCompression: [] };

/** `[name, transport, whether streams in both directions work]`. The first is gRPC. */
export function transports(baseUrl) {
  const all = [["gRPC", createGrpcTransport({ baseUrl, ...plain }), true]];
  for (const httpVersion of ["1.1", "2"]) {
    const bidi = httpVersion === "2";
    const web = createGrpcWebTransport({ baseUrl, httpVersion, ...plain });
    all.push([`gRPC-Web, HTTP/${httpVersion}`, web, bidi]);
    for (const [codec, useBinaryFormat] of [["JSON", false], ["binary", true]]) {
      for (const [encoding, options] of [["", plain], [", gzip", gzip]]) {
        const name = `Connect, HTTP/${httpVersion}, ${codec}${encoding}`;
        for (const useHttpGet of [false, true]) {
          const set = { baseUrl, httpVersion, useBinaryFormat, useHttpGet, ...options };
          all.push([useHttpGet ? `${name}, GET` : name, createConnectTransport(set), bidi]);
        }
      }
    }
  }
  return all;
}
