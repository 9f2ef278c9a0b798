// What a client says of its run: one line of JSON, which `run` compares with the counts of the server.
import { isDeepStrictEqual } from "node:util";

/** The checks and the codes that one client saw. */
export class Report {
  constructor(client) {
    Object.assign(this, { client, checks: 0, codes: {}, more: "" });
  }

  /** A call that ended with this code. */
  code(name, count = 1) {
    this.codes[name] = (this.codes[name] ?? 0) + count;
  }

  /** Ends the program if something else was expected. */
  expect(what, seen, expected) {
    this.checks += 1;
    if (!isDeepStrictEqual(seen, expected)) {
      console.error(`${what}: ${JSON.stringify(seen)}, and not ${JSON.stringify(expected)}`);
      process.exit(1);
    }
  }

  /** The last line of the program. */
  done() {
    console.log(JSON.stringify(this));
  }
}
