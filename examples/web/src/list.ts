// The list of orders.
import { orders } from "./client.ts";
import { create, element, show } from "./dom.ts";
import { describe, needsToken } from "./errors.ts";
import { amount, time } from "./format.ts";
import type { Order } from "./gen/orders/v1/orders_pb.ts";

type Handlers = { select: (order: Order) => void; signIn: (error: unknown) => void };

/** The list, its filter, and the pages that the server has. */
export class List {
  private readonly shown = new Set<string>();
  private nextPage = "";
  private customer = "";
  private running = new AbortController();
  private readonly handlers: Handlers;

  constructor(handlers: Handlers) {
    this.handlers = handlers;
    element("filter").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.reload();
    });
    element("more").addEventListener("click", () => void this.load());
  }

  /** Loads the first page again. */
  async reload(): Promise<void> {
    this.customer = element<HTMLInputElement>("filter-email").value.trim();
    this.nextPage = "";
    this.shown.clear();
    element("orders").replaceChildren();
    await this.load();
  }

  /** Shows an order that was created here, if it belongs to the part of the list that is shown. */
  add(order: Order): void {
    const isFiltered = this.customer !== "" && this.customer !== order.customerEmail;
    if (!isFiltered && this.nextPage === "" && !this.shown.has(order.id)) {
      this.append(order);
      element("empty").hidden = true;
    }
  }

  /** Marks the order that is watched. */
  mark(id: string): void {
    for (const button of element("orders").querySelectorAll("button")) {
      button.setAttribute("aria-current", String(button.dataset["id"] === id));
    }
  }

  private async load(): Promise<void> {
    this.running.abort();
    const { signal } = (this.running = new AbortController());
    const section = element("orders").parentElement;
    section?.setAttribute("aria-busy", "true");
    show(element("list-error"), "");
    let following = "";
    const onHeader = (headers: Headers) => {
      following = headers.get("next-page-token") ?? "";
    };
    const request = { customerEmail: this.customer, pageToken: this.nextPage };
    try {
      for await (const order of orders.listOrders(request, { signal, onHeader })) {
        this.append(order);
      }
      this.nextPage = following;
      element("more").hidden = following === "";
      element("empty").hidden = this.shown.size > 0;
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (needsToken(error)) {
        this.handlers.signIn(error);
      } else {
        show(element("list-error"), describe(error));
      }
    } finally {
      if (!signal.aborted) {
        section?.setAttribute("aria-busy", "false");
      }
    }
  }

  private append(order: Order): void {
    if (this.shown.has(order.id)) {
      return;
    }
    this.shown.add(order.id);
    const button = document.createElement("button");
    button.type = "button";
    button.dataset["id"] = order.id;
    button.append(
      create("span", order.customerEmail, "customer"),
      create("span", amount(order.totalCents, order.currency), "total"),
      create("span", time(order.createdAt), "quiet"),
    );
    button.addEventListener("click", () => this.handlers.select(order));
    const item = document.createElement("li");
    item.append(button);
    element("orders").append(item);
  }
}
