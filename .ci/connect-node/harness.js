// What the checks share: a server of orders, and comparing.
import { isDeepStrictEqual } from "node:util";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Milliseconds that any one thing may take. */
export const PATIENCE = 20_000;

/** Prints what was seen, and ends the check if something else was expected. */
export function expect(what, seen, expected) {
  console.log(`${what}: ${text(seen)}`);
  if (!isDeepStrictEqual(seen, expected)) {
    throw new Error(`${what}: expected ${text(expected)}, not ${text(seen)}`);
  }
}

function text(value) {
  const json = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}` : part));
  return json && json.length > 200 ? `${json.slice(0, 200)} …` : json;
}

/**
 * A server of orders with faults on a free port, with its orders in memory. `stop` sends SIGINT, and waits for its
 * exit status.
 */
export async function serve(orders, flags) {
  const free = ["--listen", "127.0.0.1:0", "--metrics", "off", "--db", ":memory:", "--log", "json"];
  const env = { ...process.env };
  delete env.RUST_LOG;
  const server = spawn(orders, ["serve", "--faults", ...free, ...flags], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  process.once("exit", () => server.kill("SIGKILL"));
  const log = [];
  createInterface({ input: server.stderr }).on("line", (line) => log.push(line));
  const lines = createInterface({ input: server.stdout });
  const ended = once(server, "exit");
  const first = await Promise.race([
    once(lines, "line").then(([line]) => line),
    ended.then(() => "it ended"),
  ]);
  const [, address] = /^listening on (\S+)/.exec(first) ?? [];
  if (!address) {
    throw new Error(`orders serve does not listen: ${first}\n${log.join("\n")}`);
  }
  return {
    address,
    log,
    stop: async () => {
      server.kill("SIGINT");
      const [status] = await ended;
      return status;
    },
  };
}
