// Connect without a client of Connect: JSON by `fetch`, as a page or curl sends it.
import { create, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { GetOrderRequestSchema, OrderSchema, OrderService } from "./gen/orders/v1/orders_pb.js";
import { expect } from "./harness.js";

const JSON_TYPE = { "content-type": "application/json" };

/** Checks the bytes that a client of Connect hides. */
export async function raw(url) {
  const service = `${url}/orders.v1.OrderService`;
  const post = (method, body, headers = JSON_TYPE) =>
    fetch(`${service}/${method}`, { method: "POST", headers, body });

  console.log("-- JSON without a client");
  const order = { customerEmail: "ada@example.org", totalCents: "9007199254740993", currency: "EUR" };
  const created = await post("CreateOrder", JSON.stringify(order));
  expect("status", created.status, 200);
  expect("content type", created.headers.get("content-type"), "application/json");
  const answer = await created.text();
  expect("content length", created.headers.get("content-length"), `${Buffer.byteLength(answer)}`);
  const json = JSON.parse(answer);
  expect("members", Object.keys(json), ["id", "customerEmail", "totalCents", "currency", "createdAt"]);
  expect("a number of 64 bits is a string", json.totalCents, order.totalCents);
  const { totalCents } = fromJson(OrderSchema, json);
  expect("it is read as", totalCents, 9_007_199_254_740_993n);

  console.log("-- GET");
  const { NO_SIDE_EFFECTS } = MethodOptions_IdempotencyLevel;
  expect("GetOrder may be called by GET", OrderService.method.getOrder.idempotency, NO_SIDE_EFFECTS);
  const request = create(GetOrderRequestSchema, { id: json.id });
  const binary = Buffer.from(toBinary(GetOrderRequestSchema, request)).toString("base64url");
  const text = encodeURIComponent(JSON.stringify({ id: json.id }));
  const base64 = Buffer.from(JSON.stringify({ id: json.id })).toString("base64");
  for (const query of [
    `connect=v1&encoding=json&message=${text}`,
    `message=${text}&encoding=json`,
    `connect=v1&encoding=json&base64=1&message=${encodeURIComponent(base64)}`,
    `connect=v1&base64=1&encoding=proto&message=${binary}`,
  ]) {
    const got = await fetch(`${service}/GetOrder?${query}`);
    expect("status", got.status, 200);
    const bytes = new Uint8Array(await got.arrayBuffer());
    const read = query.includes("proto")
      ? fromBinary(OrderSchema, bytes)
      : fromJson(OrderSchema, JSON.parse(new TextDecoder().decode(bytes)));
    expect("the order", read.id, json.id);
  }
  const forbidden = await fetch(`${service}/CreateOrder?connect=v1&encoding=json&message={}`);
  expect("GET of a method with side effects", forbidden.status, 405);
  expect("what it allows", forbidden.headers.get("allow"), "POST");

  console.log("-- errors");
  const missing = await post("GetOrder", JSON.stringify({ id: "none" }));
  expect("status", missing.status, 404);
  const { code, message, details } = await missing.json();
  expect("code", code, "not_found");
  expect("message", message, 'order "none" does not exist');
  expect("types of the details", details.map(({ type }) => type), ["google.rpc.ErrorInfo"]);
  expect("padding of the details", details.some(({ value }) => value.includes("=")), false);
  for (const body of ["{", "[]", '{"id":1}', '{"id":"\\ud800"}', "", "{}{}", '{"id":"a","id":"b"}']) {
    const malformed = await post("GetOrder", body);
    expect(`${JSON.stringify(body)} has the status`, malformed.status, 400);
    expect("code", (await malformed.json()).code, "invalid_argument");
  }
  const xml = await post("GetOrder", "<id/>", { "content-type": "application/xml" });
  expect("another media type", xml.status, 415);
  console.log(`what it accepts: ${xml.headers.get("accept-post")}`);
  expect("an unknown method", (await post("Nothing", "{}")).status, 404);
}
