// Calls of orders with the clients of connect-node: node calls.js ORDERS
//
// Makes the same calls of all four kinds over gRPC, gRPC-Web and Connect, by HTTP/1.1 and HTTP/2, in JSON and binary,
// plain and with gzip. All of them must have the same answers.
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { OrderService } from "./gen/orders/v1/orders_pb.js";
import { PATIENCE, expect, serve } from "./harness.js";
import { raw } from "./raw.js";
import { refusals } from "./refusals.js";
import { scenarios } from "./scenarios.js";
import { transports } from "./transports.js";

const [orders] = process.argv.slice(2);

const server = await serve(orders, ["--auth", "off"]);
const url = `http://${server.address}`;
// What callers saw over gRPC.
const reference = new Map();
let count = 0;
for (const [name, transport, bidi] of transports(url)) {
  console.log(`-- ${name}`);
  const client = createClient(OrderService, transport);
  // The orders of one transport do not affect the others.
  const customer = `customer${count}@example.org`;
  for (const scenario of scenarios) {
    if (scenario.needsBidi && !bidi) {
      continue;
    }
    const seen = await soon(`${name}: ${scenario.name}`, scenario.run(client, customer));
    const expected = scenario.expected ?? reference.get(scenario.name);
    if (expected === undefined) {
      console.log(`${scenario.name}: ${JSON.stringify(seen, number)}`);
      reference.set(scenario.name, seen);
    } else {
      expect(scenario.name, seen, expected);
    }
  }
  count += 1;
}

console.log("-- what the server's log says of them");
expect("calls that the server ended at their deadline", await ended("GetOrder", "DEADLINE_EXCEEDED", count), count);
expect("watches that their caller cancelled", await ended("WatchOrder", "CANCELLED", 2 * count), 2 * count);
expect("panics before the response", await ended("GetOrder", "INTERNAL", count), count);
expect("panics in a stream", await ended("ListOrders", "INTERNAL", count), count);

await raw(url);
expect("the server's exit status", await server.stop(), 0);
await refusals(orders);
process.exit(0);

/** The number of calls of a method that ended with this code, as soon as there are as many as expected. */
async function ended(method, code, expected) {
  const found = () =>
    server.log
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line))
      .filter((line) => line["rpc.method"]?.endsWith(`/${method}`))
      .filter((line) => grpc(line["rpc.response.status_code"]) === code).length;
  const until = Date.now() + PATIENCE;
  while (found() < expected && Date.now() < until) {
    await sleep(50);
  }
  return found();
}

/** The name in gRPC of a code of Connect or gRPC. */
function grpc(code = "") {
  return code === "canceled" ? "CANCELLED" : code.toUpperCase();
}

/** The result, or an error if it takes too long. */
async function soon(what, promise) {
  const late = sleep(PATIENCE, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: no end after ${PATIENCE} ms`);
  });
  return Promise.race([promise, late]);
}

function number(_, value) {
  return typeof value === "bigint" ? `${value}` : value;
}
