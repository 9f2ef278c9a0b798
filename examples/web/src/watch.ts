// The order that is watched: its events as they come, and its next stage.
import { orders } from "./client.ts";
import { create, element, show } from "./dom.ts";
import { describe, isTemporary, needsToken } from "./errors.ts";
import { amount, time } from "./format.ts";
import { type Order, type OrderEvent, OrderStage } from "./gen/orders/v1/orders_pb.ts";

type Handlers = { closed: () => void; signIn: (error: unknown) => void };

const STAGES = ["created", "shipped", "delivered"];
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;

/** The panel of one order. */
export class Watch {
  private order: Order | undefined;
  private stage = "";
  private running = new AbortController();
  private readonly handlers: Handlers;

  constructor(handlers: Handlers) {
    this.handlers = handlers;
    element("close").addEventListener("click", () => this.close());
    element("ship").addEventListener("click", () => void this.advance(OrderStage.SHIPPED));
    element("deliver").addEventListener("click", () => void this.advance(OrderStage.DELIVERED));
    element("watch").addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.close();
      }
    });
  }

  /** Watches an order until another one is opened, or the panel is closed. */
  open(order: Order): void {
    this.running.abort();
    this.running = new AbortController();
    this.order = order;
    this.stage = "";
    element("watch").hidden = false;
    element("events").replaceChildren();
    show(element("watch-error"), "");
    this.showDetails(order);
    this.showActions();
    element("watch-title").focus();
    void this.follow(order.id, this.running.signal);
  }

  /** Ends the watch. */
  close(): void {
    this.running.abort();
    this.order = undefined;
    element("watch").hidden = true;
    this.handlers.closed();
  }

  private async follow(id: string, signal: AbortSignal): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!signal.aborted) {
      this.state("Connecting …");
      try {
        for await (const event of orders.watchOrder({ id }, { signal })) {
          pause = FIRST_PAUSE;
          this.state("Watching: new events appear here.");
          show(element("watch-error"), "");
          this.showEvent(event);
        }
        this.state("The server has ended the watch.");
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        show(element("watch-error"), describe(error));
        if (needsToken(error) || !isTemporary(error)) {
          this.state("Not watching.");
          if (needsToken(error)) {
            this.handlers.signIn(error);
          }
          return;
        }
      }
      this.state(`Not watching; connecting again in ${pause / 1000} s.`);
      await sleep(pause, signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }

  private async advance(stage: OrderStage): Promise<void> {
    const { order } = this;
    if (!order) {
      return;
    }
    show(element("watch-error"), "");
    try {
      const event = await orders.advanceOrder({ id: order.id, stage });
      if (this.order === order) {
        this.showEvent(event);
      }
    } catch (error) {
      if (needsToken(error)) {
        this.handlers.signIn(error);
      } else {
        show(element("watch-error"), describe(error));
      }
    }
  }

  /** Shows an event once: the stream sends it, and so does the response that made it. */
  private showEvent(event: OrderEvent): void {
    const list = element("events");
    if (!list.querySelector(`[data-type="${CSS.escape(event.eventType)}"]`)) {
      const item = document.createElement("li");
      item.dataset["type"] = event.eventType;
      item.append(create("strong", event.eventType), create("span", time(event.ts), "quiet"));
      list.append(item);
    }
    if (STAGES.indexOf(event.eventType) > STAGES.indexOf(this.stage)) {
      this.stage = event.eventType;
    }
    this.showActions();
  }

  private showActions(): void {
    element<HTMLButtonElement>("ship").disabled = this.stage !== "created";
    element<HTMLButtonElement>("deliver").disabled = this.stage !== "shipped";
  }

  private showDetails(order: Order): void {
    const details: [string, string][] = [
      ["Id", order.id],
      ["Customer", order.customerEmail],
      ["Total", amount(order.totalCents, order.currency)],
      ["Created", time(order.createdAt)],
    ];
    const parts = details.flatMap(([name, text]) => [create("dt", name), create("dd", text)]);
    element("details").replaceChildren(...parts);
  }

  private state(text: string): void {
    element("watch-state").textContent = text;
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
