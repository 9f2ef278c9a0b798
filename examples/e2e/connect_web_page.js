// The page of connect_web.js: `play` makes calls in the browser, and returns what it saw.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "#generated/google/rpc/error_details_pb.js";
import { OrderService, OrderStage } from "#generated/orders/v1/orders_pb.js";

const TRANSPORTS = { Connect: createConnectTransport, "gRPC-Web": createGrpcWebTransport };

globalThis.play = async (transport, baseUrl) => {
  const client = createClient(OrderService, TRANSPORTS[transport]({ baseUrl }));
  const checks = [];
  const codes = {};
  const expect = (what, is, expected) => checks.push({ what, is, expected });
  const count = (name) => (codes[name] = (codes[name] ?? 0) + 1);

  async function ok(call) {
    const response = await call;
    count("Ok");
    return response;
  }

  /** The messages of a stream, and the error at its end. */
  async function all(stream, onMessage = () => {}) {
    const messages = [];
    try {
      for await (const message of stream) {
        messages.push(message);
        await onMessage(message);
      }
      count("Ok");
      return { messages };
    } catch (error) {
      return { messages, ...failure(error) };
    }
  }

  async function failed(call) {
    try {
      await call;
    } catch (error) {
      return failure(error);
    }
    return "it did not fail";
  }

  function failure(error) {
    const { code } = ConnectError.from(error);
    count(Code[code]);
    const [info] = error.findDetails(ErrorInfoSchema);
    const [bad] = error.findDetails(BadRequestSchema);
    return { code: Code[code], reason: info?.reason, fields: bad?.fieldViolations.map(({ field }) => field) };
  }

  // The orders of one transport do not affect the other.
  const customerEmail = `${transport.toLowerCase()}@example.org`;
  const order = (totalCents) => ({ customerEmail, totalCents, currency: "EUR" });

  const big = 9_007_199_254_740_993n; // no JavaScript number
  const made = await ok(client.createOrder(order(big)));
  expect("a new order", `${made.totalCents}`, `${big}`);
  const read = await ok(client.getOrder({ id: made.id }));
  expect("the order", [read.customerEmail, `${read.totalCents}`], [customerEmail, `${big}`]);
  await ok(client.createOrder(order(2n)));
  let token;
  const page = { customerEmail, pageSize: 1 };
  const onHeader = (headers) => (token = headers.get("next-page-token"));
  expect("the page", (await all(client.listOrders(page, { onHeader }))).messages.length, 1);
  expect("the rest", (await all(client.listOrders({ ...page, pageToken: token }))).messages.length, 1);

  const invalid = await failed(client.createOrder({ customerEmail: "nobody", totalCents: -1n, currency: "EUR" }));
  expect("invalid fields", [invalid.code, ...invalid.fields], ["InvalidArgument", "customer_email", "total_cents"]);
  const missing = await failed(client.getOrder({ id: "no such order" }));
  expect("a missing order", [missing.code, missing.reason], ["NotFound", "ORDER_NOT_FOUND"]);
  const unwatched = await all(client.watchOrder({ id: "no such order" }));
  expect("its watch", [unwatched.code, unwatched.reason], ["NotFound", "ORDER_NOT_FOUND"]);

  const late = { headers: { "x-fault": "delay=10s" }, timeoutMs: 300 };
  expect("a deadline", (await failed(client.getOrder({ id: "any" }, late))).code, "DeadlineExceeded");
  expect("a stream's deadline", (await all(client.listOrders({}, late))).code, "DeadlineExceeded");
  const panic = { headers: { "x-fault": "panic" } };
  expect("a panic", (await failed(client.getOrder({ id: "any" }, panic))).code, "Internal");
  const inside = await all(client.listOrders({ customerEmail }, { headers: { "x-fault": "panic-after=1" } }));
  expect("a panic in a stream", [inside.code, inside.messages.length], ["Internal", 1]);

  const caller = new AbortController();
  const watched = await all(client.watchOrder({ id: made.id }, { signal: caller.signal }), async ({ eventType }) => {
    if (eventType === "created") {
      await ok(client.advanceOrder({ id: made.id, stage: OrderStage.SHIPPED }));
    } else {
      caller.abort();
    }
  });
  const events = watched.messages.map(({ eventType }) => eventType);
  expect("the watch, cancelled", [watched.code, ...events], ["Canceled", "created", "shipped"]);
  return { checks, codes };
};
