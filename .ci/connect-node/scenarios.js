// Calls, and what their callers saw of them: the same over every transport.
import { randomUUID } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { OrderStage, ShippingSpeed } from "./gen/orders/v1/orders_pb.js";

/** Longer than any deadline of these checks. */
const LONG_DELAY = { "x-fault": "delay=10s" };

export const scenarios = [
  { name: "one request, one response", run: one },
  { name: "errors with details", run: errors },
  { name: "a stream of responses, and a header", run: list },
  { name: "a watch", run: watch },
  { name: "a stream of requests", run: importAll },
  { name: "streams in both directions", run: quotes, needsBidi: true },
  { name: "deadlines", run: deadline, expected: ["DeadlineExceeded", "DeadlineExceeded"] },
  { name: "cancelled calls", run: cancel, expected: "Canceled" },
  { name: "panics", run: panics },
];

/** The code, text and details of the error that a call must have. */
export async function failure(call) {
  try {
    await call;
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    const [info] = error.findDetails(ErrorInfoSchema);
    const [bad] = error.findDetails(BadRequestSchema);
    const fields = bad?.fieldViolations.map(({ field, description }) => [field, description]);
    return { code: Code[code], message: rawMessage, reason: info?.reason, domain: info?.domain, fields };
  }
  return "it did not fail";
}

async function all(stream) {
  const messages = [];
  for await (const message of stream) {
    messages.push(message);
  }
  return messages;
}

function fields({ customerEmail, totalCents, currency }, customer) {
  return { isCustomer: customerEmail === customer, totalCents, currency };
}

async function one(client, customer) {
  const request = {
    customerEmail: customer,
    totalCents: 9_007_199_254_740_993n, // no JavaScript number
    currency: "EUR",
    idempotencyKey: randomUUID(),
  };
  const order = await client.createOrder(request);
  const again = await client.createOrder(request);
  const read = await client.getOrder({ id: order.id });
  return {
    order: fields(order, customer),
    repeated: again.id === order.id,
    read: fields(read, customer),
    sameTime: read.createdAt.seconds === order.createdAt.seconds && read.createdAt.nanos === order.createdAt.nanos,
  };
}

async function errors(client, customer) {
  // The error repeats the key, which must be another one each time.
  const idempotencyKey = randomUUID();
  const request = { customerEmail: customer, totalCents: 1n, currency: "EUR", idempotencyKey };
  await client.createOrder(request);
  const reused = await failure(client.createOrder({ ...request, totalCents: 2n }));
  return [
    await failure(client.createOrder({ customerEmail: "nobody", totalCents: -1n, currency: "Ä\u{1f4b6}" })),
    { ...reused, message: reused.message.replace(idempotencyKey, "the key") },
    await failure(client.getOrder({ id: "no such order" })),
    await failure(all(client.watchOrder({ id: "no such order" }))),
    await failure(client.getOrder({ id: "any" }, { headers: { "x-fault": "status=DATA_LOSS" } })),
  ];
}

async function list(client, customer) {
  const customerEmail = `list-${customer}`;
  for (const totalCents of [1n, 2n, 3n]) {
    await client.createOrder({ customerEmail, totalCents, currency: "EUR" });
  }
  const pages = [];
  let pageToken = "";
  do {
    const onHeader = (headers) => {
      pageToken = headers.get("next-page-token") ?? "";
    };
    const page = await all(client.listOrders({ customerEmail, pageSize: 2, pageToken }, { onHeader }));
    pages.push(page.map((order) => fields(order, customerEmail)));
  } while (pageToken);
  return pages;
}

async function watch(client, customer) {
  const { id } = await client.createOrder({ customerEmail: customer, totalCents: 0n, currency: "EUR" });
  const events = [];
  for await (const { id: of, eventType } of client.watchOrder({ id })) {
    events.push([of === id, eventType]);
    // The stream is open, and each event comes while it is.
    if (eventType === "created") {
      await client.advanceOrder({ id, stage: OrderStage.SHIPPED });
    } else if (eventType === "shipped") {
      await client.advanceOrder({ id, stage: OrderStage.DELIVERED });
    } else {
      break;
    }
  }
  return events;
}

async function importAll(client, customer) {
  async function* requests() {
    yield { customerEmail: customer, totalCents: 1n, currency: "EUR" };
    yield { customerEmail: "", totalCents: 1n, currency: "EUR" };
    yield { customerEmail: customer, totalCents: 2n, currency: "USD" };
  }
  const { created, repeated, rejected, failures } = await client.importOrders(requests());
  return { created, repeated, rejected, failures: failures.map(({ index, rejection }) => [index, rejection.message]) };
}

async function quotes(client) {
  let answered;
  let answer = new Promise((resolve) => (answered = resolve));
  async function* requests() {
    yield { reference: "first", totalCents: 100n, currency: "EUR", speed: ShippingSpeed.EXPRESS };
    // The second request is made of the response to the first one.
    const { totalCents } = await answer;
    yield { reference: "second", totalCents, currency: "EUR" };
    yield { reference: "third", totalCents: 1n, currency: "none" };
  }
  const seen = [];
  for await (const { reference, outcome } of client.quoteOrders(requests())) {
    const { shippingCents, totalCents, message } = outcome.value;
    seen.push({ reference, case: outcome.case, shippingCents, totalCents, message });
    answered(outcome.value);
  }
  return seen;
}

/** A deadline that only the server knows, so that the answer is the server's; and one that the client keeps too. */
async function deadline(client) {
  const headers = { ...LONG_DELAY, "connect-timeout-ms": "200", "grpc-timeout": "200m" };
  const ofServer = await failure(client.getOrder({ id: "any" }, { headers }));
  const options = { timeoutMs: 200, headers: LONG_DELAY };
  const ofBoth = await failure(all(client.listOrders({}, options)));
  return [ofServer.code, ofBoth.code];
}

async function cancel(client, customer) {
  const { id } = await client.createOrder({ customerEmail: customer, totalCents: 0n, currency: "EUR" });
  const caller = new AbortController();
  const call = async () => {
    for await (const _ of client.watchOrder({ id }, { signal: caller.signal })) {
      caller.abort();
    }
  };
  const { code } = await failure(call());
  return code;
}

async function panics(client) {
  const before = await failure(client.getOrder({ id: "any" }, { headers: { "x-fault": "panic" } }));
  const inside = await failure(all(client.listOrders({}, { headers: { "x-fault": "panic-after=1" } })));
  return [before, inside];
}
