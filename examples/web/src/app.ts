// The page of `orders serve --web`: lists, creates and watches orders over Connect.
import { token } from "./client.ts";
import { element, notify } from "./dom.ts";
import { describe } from "./errors.ts";
import { amount } from "./format.ts";
import type { Order } from "./gen/orders/v1/orders_pb.ts";
import { List } from "./list.ts";
import { newOrders } from "./new-order.ts";
import { Watch } from "./watch.ts";

const list = new List({ select, signIn });
const watch = new Watch({ closed: () => leave(), signIn });
let watched = "";

newOrders({
  created(order) {
    const total = amount(order.totalCents, order.currency);
    notify(`Created an order of ${total} for ${order.customerEmail}.`);
    list.add(order);
    select(order);
  },
  signIn,
});

element("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element<HTMLInputElement>("token");
  token.set(input.value.trim());
  input.value = "";
  element("sign-in").hidden = true;
  element("sign-out").hidden = false;
  notify("");
  void list.reload();
});

element("sign-out").addEventListener("click", () => {
  token.clear();
  location.reload();
});

function select(order: Order): void {
  watched = order.id;
  list.mark(order.id);
  watch.open(order);
}

/** Returns to the row of the order, so that the keyboard goes on where it was. */
function leave(): void {
  const row = element("orders").querySelector<HTMLElement>(`[data-id="${CSS.escape(watched)}"]`);
  list.mark("");
  (row ?? element("orders-title")).focus();
}

function signIn(error: unknown): void {
  const hadToken = token.get() !== null;
  element("sign-in").hidden = false;
  element("sign-out").hidden = !hadToken;
  notify(hadToken ? describe(error) : "", hadToken);
  element("token").focus();
}

element("sign-out").hidden = token.get() === null;
void list.reload();
