// Node.js's @grpc/grpc-js: calls of all kinds, metadata, deadlines, cancellation, panics, error details, and health.
//
// Usage: node grpc_js.js ADDRESS PROTOS INCLUDE, where INCLUDE is the folder with Google's own protos
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";
import { Report } from "./report.js";

const [address, protos, include] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(createRequire(import.meta.url).resolve("@grpc/grpc-js/package.json")));
const report = new Report(`@grpc/grpc-js ${version}`);

const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const definition = loadSync(["orders/v1/orders.proto", "grpc/health/v1/health.proto"], {
  ...options,
  includeDirs: [protos, include, new URL("proto", import.meta.url).pathname],
});
const packages = grpc.loadPackageDefinition(definition);
const credentials = grpc.credentials.createInsecure();
const orders = new packages.orders.v1.OrderService(address, credentials);
const health = new packages.grpc.health.v1.Health(address, credentials);

const google = new protobuf.Root();
google.resolvePath = (_, target) => `${include}/${target}`;
google.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);

const PATIENCE = 20_000;
const order = (total_cents, customer_email = "ann@example.org") => ({ customer_email, total_cents, currency: "EUR" });
const within = (milliseconds = PATIENCE) => ({ deadline: Date.now() + milliseconds });

function metadata(entries = {}) {
  const made = new grpc.Metadata();
  for (const [key, value] of Object.entries(entries)) {
    made.set(key, value);
  }
  return made;
}

/** The code of a call by its name, and the details of its status. */
function ended(status) {
  const code = grpc.status[status.code];
  report.code(code);
  const [binary] = status.metadata.get("grpc-status-details-bin");
  const details = {};
  for (const any of binary ? google.lookupType("google.rpc.Status").decode(binary).details : []) {
    const name = any.type_url.split("/").pop();
    details[name.split(".").pop()] = google.lookupType(name).decode(any.value).toJSON();
  }
  return { code, details };
}

/** Calls that have one response: `{ code, details, response }`. */
function unary(client, method, request, headers, time) {
  return new Promise((resolve) => {
    let response;
    const call = client[method](request, metadata(headers), within(time), (_, given) => (response = given));
    call.on("status", (status) => setImmediate(() => resolve({ ...ended(status), response })));
  });
}

/** Calls that have a stream of responses: `{ code, details, responses, headers }`. */
function stream(call, onData = () => {}) {
  return new Promise((resolve) => {
    const responses = [];
    let headers;
    call.on("metadata", (given) => (headers = given));
    call.on("data", (response) => {
      responses.push(response);
      onData(response);
    });
    call.on("error", () => {});
    call.on("status", (status) => setImmediate(() => resolve({ ...ended(status), responses, headers })));
  });
}

async function kinds() {
  const ids = [];
  for (const cents of [1, 2, 3]) {
    const { code, response } = await unary(orders, "CreateOrder", order(cents));
    report.expect("a new order", [code, response.total_cents], ["OK", `${cents}`]);
    ids.push(response.id);
  }
  const read = await unary(orders, "GetOrder", { id: ids[0] });
  report.expect("the order", read.response.customer_email, "ann@example.org");
  const page = { customer_email: "ann@example.org", page_size: 2 };
  const listed = await stream(orders.ListOrders(page, metadata(), within()));
  report.expect("the page", [listed.code, listed.responses.length], ["OK", 2]);
  const [page_token] = listed.headers.get("next-page-token");
  const rest = await stream(orders.ListOrders({ ...page, page_token }, metadata(), within()));
  report.expect("the rest", [rest.code, rest.responses.length], ["OK", 1]);

  const imported = await new Promise((resolve) => {
    let response;
    const call = orders.ImportOrders(metadata(), within(), (_, given) => (response = given));
    call.on("status", (status) => setImmediate(() => resolve({ ...ended(status), response })));
    [order(4), order(5, ""), order(6)].forEach((request) => call.write(request));
    call.end();
  });
  const { created, rejected } = imported.response;
  report.expect("the import", [imported.code, created, rejected], ["OK", "2", "1"]);

  // Each request is sent after the response to the one before.
  const call = orders.QuoteOrders(metadata(), within());
  let next = 0;
  const ask = () => {
    if (next === 3) {
      call.end();
    } else {
      call.write({ reference: `${next++}`, total_cents: 100, currency: "EUR" });
    }
  };
  const quotes = stream(call, ask);
  ask();
  const quoted = await quotes;
  report.expect("the quotes", [quoted.code, ...quoted.responses.map((quote) => quote.reference)], ["OK", "0", "1", "2"]);
}

async function details() {
  const invalid = await unary(orders, "CreateOrder", order(-1, "nobody"));
  const fields = invalid.details.BadRequest.fieldViolations.map(({ field }) => field);
  report.expect("invalid fields", [invalid.code, ...fields], ["INVALID_ARGUMENT", "customer_email", "total_cents"]);
  const missing = await unary(orders, "GetOrder", { id: "no such order" });
  const { reason, domain } = missing.details.ErrorInfo;
  report.expect("a missing order", [missing.code, reason, domain], ["NOT_FOUND", "ORDER_NOT_FOUND", "orders.v1"]);
  const watched = await stream(orders.WatchOrder({ id: "no such order" }, metadata(), within()));
  report.expect("its watch", [watched.code, watched.details.ErrorInfo.reason], ["NOT_FOUND", "ORDER_NOT_FOUND"]);
}

async function endings() {
  const late = { "x-fault": "delay=10s" };
  report.expect("a deadline", (await unary(orders, "GetOrder", { id: "any" }, late, 200)).code, "DEADLINE_EXCEEDED");
  const slow = await stream(orders.ListOrders({}, metadata(late), within(200)));
  report.expect("a stream's deadline", slow.code, "DEADLINE_EXCEEDED");
  report.expect("a panic", (await unary(orders, "GetOrder", { id: "any" }, { "x-fault": "panic" })).code, "INTERNAL");
  const panics = await stream(orders.ListOrders({}, metadata({ "x-fault": "panic-after=2" }), within()));
  report.expect("a panic in a stream", [panics.code, panics.responses.length], ["INTERNAL", 2]);
  const { response } = await unary(orders, "CreateOrder", order(7));
  const watch = orders.WatchOrder({ id: response.id }, metadata(), within());
  const cancelled = await stream(watch, () => watch.cancel());
  const events = cancelled.responses.map((event) => event.event_type);
  report.expect("the watch, cancelled", [cancelled.code, ...events], ["CANCELLED", "created"]);
}

async function checks() {
  const serving = await unary(health, "Check", { service: "orders.v1.OrderService" });
  report.expect("health", [serving.code, serving.response.status], ["OK", "SERVING"]);
  const unknown = await unary(health, "Check", { service: "no.such.Service" });
  report.expect("health of another service", unknown.code, "NOT_FOUND");
}

await kinds();
await details();
await endings();
await checks();
orders.close();
health.close();
report.done();
