// @connectrpc/connect-web in Chromium, over Connect and over gRPC-Web, from a page of another origin.
//
// Usage: node connect_web.js ADDRESS PORT GENERATED CHROMIUM: serves the page on that port of loopback, whose origin the
// server must allow; GENERATED is the folder with the code of `orders.v1`.
import { once } from "node:events";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { Report } from "./report.js";

const [address, port, generated, executablePath] = process.argv.slice(2);
const here = import.meta.dirname;

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: ["connect_web_page.js"],
  alias: { "#generated": generated },
  nodePaths: [`${here}/node_modules`],
  bundle: true,
  format: "esm",
  write: false,
});
const [{ contents }] = outputFiles;
const page = createServer((request, response) => {
  const isCode = request.url === "/page.js";
  response.setHeader("content-type", isCode ? "text/javascript" : "text/html; charset=utf-8");
  response.end(isCode ? contents : '<!doctype html><title>orders</title><script type="module" src="/page.js"></script>');
});
page.listen(Number(port), "127.0.0.1");
await once(page, "listening");

const manifest = createRequire(import.meta.url).resolve("@connectrpc/connect-web").replace(/\/dist\/.*/, "/package.json");
const { version } = JSON.parse(readFileSync(manifest));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const report = new Report(`connect-web ${version} in Chromium ${browser.version()}`);
try {
  const tab = await browser.newPage();
  const protocols = new Set();
  tab.on("request", (request) => {
    const type = request.headers()["content-type"];
    if (request.method() === "POST" && type) {
      protocols.add(type);
    }
  });
  await tab.goto(`http://127.0.0.1:${port}/`);
  await tab.waitForFunction(() => "play" in globalThis);
  for (const transport of ["Connect", "gRPC-Web"]) {
    const seen = await tab.evaluate(([name, url]) => globalThis.play(name, url), [transport, `http://${address}`]);
    for (const { what, is, expected } of seen.checks) {
      report.expect(`${transport}, ${what}`, is, expected);
    }
    for (const [code, count] of Object.entries(seen.codes)) {
      report.code(code, count);
    }
  }
  const types = ["application/connect+json", "application/grpc-web+proto", "application/json"];
  report.expect("the protocols", [...protocols].sort(), types);
  report.more = "over Connect and gRPC-Web, from another origin";
} finally {
  await browser.close();
  page.close();
}
report.done();
