// What layers refuse: over Connect as over gRPC, and as HTTP has it.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createClient } from "@connectrpc/connect";
import { RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { OrderService } from "./gen/orders/v1/orders_pb.js";
import { expect, serve } from "./harness.js";
import { failure } from "./scenarios.js";
import { transports } from "./transports.js";

const METHOD = "orders.v1.OrderService/GetOrder";

/** Calls without a token, and more calls than pass. */
export async function refusals(orders) {
  await unauthenticated(orders);
  await limited(orders);
}

function post(url) {
  const headers = { "content-type": "application/json" };
  return fetch(`${url}/${METHOD}`, { method: "POST", headers, body: '{"id":"any"}' });
}

async function unauthenticated(orders) {
  console.log("-- calls without a token");
  const key = path.join(mkdtempSync(path.join(tmpdir(), "orders-key-")), "key");
  const server = await serve(orders, ["--dev-key", key]);
  const url = `http://${server.address}`;
  let reference;
  for (const [name, transport] of transports(url)) {
    const client = createClient(OrderService, transport);
    const seen = await failure(client.getOrder({ id: "any" }));
    reference ??= seen;
    expect(`${name}: error`, seen, reference);
  }
  expect("code", reference.code, "Unauthenticated");
  const response = await post(url);
  expect("status", response.status, 401);
  expect("challenge", response.headers.get("www-authenticate")?.startsWith("Bearer"), true);
  expect("the server's exit status", await server.stop(), 0);
}

async function limited(orders) {
  console.log("-- more calls than pass");
  // One call each 1,000 s.
  const server = await serve(orders, ["--auth", "off", "--limit", `${METHOD}=0.001/1`]);
  const url = `http://${server.address}`;
  await post(url);
  let reference;
  for (const [name, transport] of transports(url)) {
    const client = createClient(OrderService, transport);
    const error = await client.getOrder({ id: "any" }).catch((error) => error);
    const { code, reason } = await failure(Promise.reject(error));
    const waits = error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds > 0n;
    reference ??= { code, reason, waits };
    expect(`${name}: error`, { code, reason, waits }, reference);
  }
  expect("code", reference.code, "ResourceExhausted");
  const response = await post(url);
  expect("status", response.status, 429);
  expect("it says when to come back", Number(response.headers.get("retry-after")) > 0, true);
  expect("the server's exit status", await server.stop(), 0);
}
