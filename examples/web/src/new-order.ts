// The form that creates orders.
import { orders } from "./client.ts";
import { element, show } from "./dom.ts";
import { describe, isTemporary, needsToken, violations } from "./errors.ts";
import { cents } from "./format.ts";
import type { Order } from "./gen/orders/v1/orders_pb.ts";

type Handlers = { created: (order: Order) => void; signIn: (error: unknown) => void };

const FIELDS = ["customer_email", "total_cents", "currency"];

/** Makes the form work. */
export function newOrders(handlers: Handlers): void {
  const form = element<HTMLFormElement>("create");
  const button = form.querySelector("button");
  // The same until the server has answered: sending the form again does not create a second order.
  let idempotencyKey = randomKey();

  form.addEventListener("input", () => {
    idempotencyKey = randomKey();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });

  async function send(): Promise<void> {
    const total = cents(input("total_cents").value);
    const wrong = new Map<string, string>();
    if (total === undefined) {
      wrong.set("total_cents", "It must be an amount such as 12 or 12.50.");
    }
    showErrors(wrong, "");
    if (total === undefined) {
      return;
    }
    button?.setAttribute("disabled", "");
    try {
      const order = await orders.createOrder({
        customerEmail: input("customer_email").value.trim(),
        totalCents: total,
        currency: input("currency").value.trim().toUpperCase(),
        idempotencyKey,
      });
      idempotencyKey = randomKey();
      input("total_cents").value = "";
      handlers.created(order);
    } catch (error) {
      if (needsToken(error)) {
        handlers.signIn(error);
        return;
      }
      const fields = violations(error);
      const again = isTemporary(error) ? " Send the form again: it creates one order only." : "";
      showErrors(fields, fields.size > 0 ? "" : describe(error) + again);
    } finally {
      button?.removeAttribute("disabled");
    }
  }
}

function showErrors(fields: Map<string, string>, other: string): void {
  const known = FIELDS.filter((field) => fields.has(field));
  for (const field of FIELDS) {
    input(field).setAttribute("aria-invalid", String(fields.has(field)));
    element(`${field}-error`).textContent = fields.get(field) ?? "";
  }
  show(element("create-error"), other);
  if (known[0]) {
    input(known[0]).focus();
  }
}

function input(id: string): HTMLInputElement {
  return element<HTMLInputElement>(id);
}

/** 128 random bits. `crypto.randomUUID` exists only on pages of localhost and of https. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
