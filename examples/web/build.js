// Builds `dist/`, which `orders` contains: the page, without anything that another server has.
import { build } from "esbuild";

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: ["src/app.ts", "src/style.css", "src/index.html"],
  outdir: process.argv[2] ?? "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  loader: { ".html": "copy" },
});
