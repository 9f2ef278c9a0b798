// Drives the page of `orders serve --web` in Chromium: node page.js ORDERS CHROMIUM [FOLDER]
//
// Creates, lists and watches orders by keyboard and pointer, on a wide and on a narrow screen, and writes screenshots
// into FOLDER.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { chromium } from "playwright-core";
import { OrderService, OrderStage } from "./gen/orders/v1/orders_pb.js";
import { PATIENCE, expect, serve } from "./harness.js";

const [orders, executablePath, folder = mkdtempSync(path.join(tmpdir(), "orders-web-"))] =
  process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await withoutTokens();
  await withTokens();
} finally {
  await browser.close();
}
process.exit(0);

/** A page, and what went wrong on it: errors, and requests to other servers. */
async function open(address, viewport, options = {}) {
  const context = await browser.newContext({ viewport, locale: "en-GB", timezoneId: "UTC", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const problems = [];
  page.on("pageerror", (error) => problems.push(`${error}`));
  page.on("console", (message) => {
    // Chromium reports each failed request; the page shows those itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      problems.push(message.text());
    }
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.host !== address) {
      problems.push(`a request to ${url.host}`);
    }
  });
  const response = await page.goto(`http://${address}/`);
  expect("the page's status", response.status(), 200);
  const policy = response.headers()["content-security-policy"] ?? "";
  expect("its policy forbids other servers", policy.includes("default-src 'none'"), true);
  return { page, context, problems };
}

async function shot(page, name) {
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}

/** The texts of all elements that match. */
function texts(page, selector) {
  return page.locator(selector).allInnerTexts();
}

async function focused(page) {
  return page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);
}

async function hasSidewaysScroll(page) {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth > clientWidth;
  });
}

async function withoutTokens() {
  const server = await serve(orders, ["--web", "--auth", "off"]);
  const other = createClient(
    OrderService,
    createConnectTransport({ baseUrl: `http://${server.address}`, httpVersion: "1.1" }),
  );
  const { page, context, problems } = await open(server.address, WIDE);
  await page.locator("#empty").waitFor();
  await shot(page, "1-empty");

  console.log("-- creating an order by keyboard");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  expect("the second element of the keyboard", await focused(page), "customer_email");
  await page.keyboard.type("nobody");
  await page.keyboard.press("Tab");
  await page.keyboard.type("twelve");
  await page.keyboard.press("Enter");
  await page.locator("#total_cents-error:not(:empty)").waitFor();
  expect("the field with the error has the focus", await focused(page), "total_cents");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("12.5");
  await page.keyboard.press("Enter");
  await page.locator("#customer_email-error:not(:empty)").waitFor();
  expect("the field that the server refused has the focus", await focused(page), "customer_email");
  await shot(page, "2-refused");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("ada@example.org");
  await page.keyboard.press("Enter");
  await page.locator("#events li").waitFor();
  expect("events", await texts(page, "#events strong"), ["created"]);
  expect("customers", await texts(page, "#orders .customer"), ["ada@example.org"]);
  expect("totals", await texts(page, "#orders .total"), ["12.50 EUR"]);
  expect("the order has the focus", await focused(page), "watch-title");

  console.log("-- watching it, while another client moves it on");
  const id = await page.locator("#orders button").getAttribute("data-id");
  await other.advanceOrder({ id, stage: OrderStage.SHIPPED });
  await page.locator('#events [data-type="shipped"]').waitFor();
  await page.getByRole("button", { name: "Mark as delivered" }).click();
  await page.locator('#events [data-type="delivered"]').waitFor();
  expect("events", await texts(page, "#events strong"), ["created", "shipped", "delivered"]);
  expect("it cannot be delivered again", await page.locator("#deliver").isDisabled(), true);
  await shot(page, "3-watched");
  await page.locator("#close").focus();
  await page.keyboard.press("Escape");
  expect("the panel is closed", await page.locator("#watch").isHidden(), true);
  expect("its row has the focus", await focused(page), "BUTTON");

  console.log("-- listing pages");
  const many = Array.from({ length: 60 }, (_, index) => ({
    customerEmail: `customer${index}@a-host-with-a-long-name.example`,
    totalCents: 123_456_789n + BigInt(index),
    currency: "JPY",
  }));
  await Promise.all(many.map((order) => other.createOrder(order)));
  await page.getByRole("button", { name: "List", exact: true }).click();
  await page.locator("#more").waitFor();
  expect("orders of the first page", await page.locator("#orders li").count(), 50);
  await page.locator("#more").click();
  await page.locator("#orders li").nth(60).waitFor();
  expect("orders of both pages", await page.locator("#orders li").count(), 61);
  await page.locator("#filter-email").fill("ada@example.org");
  await page.keyboard.press("Enter");
  await page.locator("#orders li").nth(1).waitFor({ state: "detached" });
  // The list is empty until the server has answered.
  await page.locator("#orders li").first().waitFor();
  expect("customers", await texts(page, "#orders .customer"), ["ada@example.org"]);
  expect("problems", problems, []);

  console.log("-- on a narrow screen, in the dark");
  const narrow = await open(server.address, NARROW, { colorScheme: "dark", hasTouch: true });
  await narrow.page.locator("#orders li").first().waitFor();
  expect("it scrolls sideways", await hasSidewaysScroll(narrow.page), false);
  await narrow.page.locator("#orders button").first().tap();
  await narrow.page.locator('#events [data-type="delivered"]').waitFor();
  expect("it scrolls sideways", await hasSidewaysScroll(narrow.page), false);
  const box = await narrow.page.locator("#watch").boundingBox();
  expect("the watched order is on the screen", box.y >= 0 && box.y < NARROW.height, true);
  await narrow.page.screenshot({ path: path.join(folder, "4-narrow.png") });
  await shot(narrow.page, "5-narrow-full");
  expect("problems", narrow.problems, []);

  console.log("-- a server that stops");
  expect("the server's exit status", await server.stop(), 0);
  const error = narrow.page.locator("#watch-error:not([hidden])");
  await error.waitFor();
  await narrow.page.getByText("connecting again in").waitFor();
  console.log(`what the page says: ${await error.innerText()}`);
  await narrow.page.screenshot({ path: path.join(folder, "6-stopped.png") });
  await narrow.context.close();
  await context.close();
}

async function withTokens() {
  console.log("-- with tokens");
  const key = path.join(mkdtempSync(path.join(tmpdir(), "orders-key-")), "key");
  const server = await serve(orders, ["--web", "--dev-key", key]);
  const scopes = ["--scope", "orders.read", "--scope", "orders.write"];
  const token = execFileSync(orders, ["token", "--dev-key", key, ...scopes], { encoding: "utf8" }).trim();
  const { page, context, problems } = await open(server.address, WIDE);
  await page.locator("#sign-in").waitFor();
  expect("the token has the focus", await focused(page), "token");
  await shot(page, "7-sign-in");
  await page.keyboard.type("no-token");
  await page.keyboard.press("Enter");
  await page.locator("#notice.error").waitFor();
  console.log(`what the page says: ${await page.locator("#notice").innerText()}`);
  await page.locator("#token").fill(token);
  await page.keyboard.press("Enter");
  await page.locator("#empty").waitFor();
  expect("it asks for a token", await page.locator("#sign-in").isVisible(), false);
  expect("problems", problems, []);
  await context.close();
  expect("the server's exit status", await server.stop(), 0);
}
