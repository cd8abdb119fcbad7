/**
 * What users run: the entry points with their libraries in a few files, `dist/bundle/ROOM/*.js`. Node then opens a dozen
 * files instead of some three hundred for each of the four processes that `czctl up` starts (decision 0014).
 *
 * Rooms keep their depth, so `new URL("../ROOM/FILE.js", import.meta.url)` says the same in `dist/src`. Left outside are
 * libraries with native parts, and those that one command in ten needs.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./ready.mjs";

/**
 * Each is bundled by itself. What a process loads as a whole is in one file, as each module costs Node a millisecond;
 * what it loads in part, or later, is in one for each part.
 */
const BUNDLES = [
  { entry: "cli/main", splitting: true },
  // The daemon's first lines start the data plane, and then load the rest.
  { entry: "daemon/main", external: ["./run.js"] },
  { entry: "daemon/run" },
  { entry: "daemon/supervisor-main", splitting: true },
  { entry: "dataplane/main" },
];
const OUTPUT = join(ROOT, "dist/bundle");

/** What assembles code does not call it. */
const withoutKoffi = {
  name: "without koffi",
  setup({ onResolve }) {
    onResolve({ filter: /^koffi$/ }, () => ({ path: "koffi", external: true, sideEffects: false }));
  },
};

/** The AEAD's machine code is the same each time: it is assembled here, and not in ten milliseconds of every start. */
const assembled = {
  name: "assembled",
  setup({ onLoad }) {
    onLoad({ filter: /\/crypto\/fused\/kernel\.ts$/ }, async ({ path }) => {
      const { outputFiles } = await build({
        entryPoints: [path],
        bundle: true,
        format: "esm",
        write: false,
        plugins: [withoutKoffi],
      });
      const assembler = Buffer.from(outputFiles[0].contents).toString("base64");
      const { fusedCode } = await import(`data:text/javascript;base64,${assembler}`);
      const of = vectors => Buffer.from(fusedCode(vectors)).toString("base64");
      const codes = JSON.stringify({ avx2: of("avx2"), avx512: of("avx512") });
      return { contents: `export const fusedCode = vectors => Buffer.from(${codes}[vectors], "base64");` };
    });
  },
};

rmSync(OUTPUT, { recursive: true, force: true });
for (const { entry, splitting = false, external = [] } of BUNDLES) {
  await build({
    absWorkingDir: ROOT,
    entryPoints: [`src/${entry}.ts`],
    outbase: "src",
    outdir: OUTPUT,
    bundle: true,
    splitting,
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["koffi", "@kubernetes/client-node", "pino", ...external],
    // Libraries in the older module format ask for Node's own modules this way.
    banner: {
      js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
    },
    plugins: [assembled],
    logLevel: "warning",
  });
}
