// Builds `dist/`, which `orders` contains: the page, without anything that another server has.
import { appendFile, readFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

const root = import.meta.dirname;
const outdir = path.resolve(root, process.argv[2] ?? "dist");

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["src/app.ts", "src/style.css", "src/index.html"],
  outdir,
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  loader: { ".html": "copy" },
});

// The licences of the packages require their notices, which minifying removes.
const notices = new Set();
for (const input of Object.keys(metafile.inputs).filter((name) => name.startsWith("node_modules/"))) {
  const lines = (await readFile(path.join(root, input), "utf8")).split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  const notice = lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, ""));
  if (!notice[0]?.startsWith("Copyright")) {
    throw new Error(`${input} has no copyright notice at its top`);
  }
  notices.add(notice.join("\n"));
}
// A comment of the code may follow a notice directly.
const isLonger = (notice) => [...notices].some((other) => other !== notice && notice.startsWith(other));
const text = [...notices].filter((notice) => !isLonger(notice)).sort().join("\n\n");
await appendFile(path.join(outdir, "app.js"), `/*\nContains @bufbuild/protobuf and @connectrpc/connect.\n\n${text}\n*/\n`);
