import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { StaticFileDiscovery } from "../../src/agent/discovery/static-file.js";
import { ForbiddenAddresses } from "../../src/agent/forbidden.js";
import { Prefix } from "../../src/base/index.js";
import { type MemoryLogger, memoryLogger, temporaryDirectory, until } from "./harness.js";

const forbidden = new ForbiddenAddresses([Prefix.from("100.126.0.0/16")]);

function catalog(...names: string[]): string {
  const services = names.map((name, i) => `    ${name}: { clusterIP: 10.96.0.${i + 1}, ports: [80] }\n`);
  return `namespaces:\n  shop:\n${services.join("")}`;
}

type Tap = Parameters<typeof temporaryDirectory>[0];

interface Fixture {
  path: string;
  log: MemoryLogger;
  /** Each catalog that was given, as its services' names. */
  given: string[];
  /** Resolves when catalog `index` has been given. */
  next(index: number): Promise<string>;
}

async function fixture(t: Tap, path: string): Promise<Fixture> {
  const log = memoryLogger();
  const given: string[] = [];
  const discovery = new StaticFileDiscovery(path, forbidden, log);
  t.teardown(() => discovery.stop());
  await discovery.start(services => given.push(services.map(service => service.name).join(" ")));
  return { path, log, given, next: index => until(`catalog ${index}`, () => given[index]) };
}

async function inDirectory(t: Tap): Promise<Fixture> {
  const path = join(temporaryDirectory(t), "services.yaml");
  writeFileSync(path, catalog("web"));
  return fixture(t, path);
}

t.test("written in place", async t => {
  const { path, given, next } = await inDirectory(t);
  t.strictSame(given, ["web"]);
  const before = performance.now();
  writeFileSync(path, catalog("web", "db"));
  t.equal(await next(1), "web db".split(" ").sort().join(" "));
  t.ok(performance.now() - before < 1_000, "within a second");
});

t.test("replaced by rename, again and again", async t => {
  const { path, next } = await inDirectory(t);
  for (const [index, name] of ["a", "b", "c"].entries()) {
    writeFileSync(`${path}.new`, catalog(name));
    renameSync(`${path}.new`, path);
    t.equal(await next(index + 1), name);
  }
  writeFileSync(path, catalog("d"));
  t.equal(await next(4), "d", "in place after rename");
});

t.test("removed and made again", async t => {
  const { path, log, next, given } = await inDirectory(t);
  rmSync(path);
  await until("the complaint", () => log.lines[0]);
  t.match(log.lines[0], { level: "error", message: /cannot read the catalog.*last good catalog stands/ });
  t.equal(given.length, 1);
  writeFileSync(path, catalog("back"));
  t.equal(await next(1), "back");
});

t.test("a link moved, as Kubernetes does with volumes", async t => {
  const dir = temporaryDirectory(t);
  for (const name of ["one", "two"]) {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, "services.yaml"), catalog(name));
  }
  symlinkSync("one", join(dir, "..data"));
  symlinkSync("..data/services.yaml", join(dir, "services.yaml"));
  const { next, given } = await fixture(t, join(dir, "services.yaml"));
  t.strictSame(given, ["one"]);
  symlinkSync("two", join(dir, "..tmp"));
  renameSync(join(dir, "..tmp"), join(dir, "..data"));
  t.equal(await next(1), "two");
  writeFileSync(join(dir, "two", "services.yaml"), catalog("three"));
  t.equal(await next(2), "three", "and where the link leads");
});

t.test("a broken edit keeps the last good catalog and says once where", async t => {
  const { path, log, given, next } = await inDirectory(t);
  const broken = catalog("web", "db").replace("10.96.0.2", "10.96.0");
  writeFileSync(path, broken);
  await until("the complaint", () => log.lines[0]);
  t.match(log.lines[0], { level: "error", message: /services\.yaml:4: shop\/db.*last good catalog stands/ });
  writeFileSync(path, broken);
  await sleep(150);
  t.equal(log.lines.length, 1);
  t.strictSame(given, ["web"]);
  writeFileSync(path, catalog("web", "db"));
  await next(1);
  writeFileSync(path, broken);
  await until("the complaint, as it is news again", () => log.lines[1]);
});

t.test("other files in the directory do not matter", async t => {
  const { path, given, next } = await inDirectory(t);
  for (let i = 0; i < 20; i++) writeFileSync(`${path}.swp${i}`, "x");
  writeFileSync(path, catalog("web"));
  writeFileSync(path, catalog("after"));
  t.equal(await next(1), "after");
  t.equal(given.length, 2);
});

t.test("a start without a good file fails", async t => {
  const dir = temporaryDirectory(t);
  for (const [text, code, message] of [
    [null, "CATALOG_UNREADABLE", /cannot read the catalog/],
    ["namespaces: [", "CATALOG_INVALID", /:1: /],
    [
      catalog("web").replace("10.96.0.1", "127.0.0.1"),
      "CATALOG_INVALID",
      /:3: web\.shop: 127\.0\.0\.1 is refused: loopback/,
    ],
    [catalog("web").replace("10.96.0.1", "169.254.169.254"), "CATALOG_INVALID", /:3: .*cloud metadata/],
    [catalog("web").replace("10.96.0.1", "100.126.0.1"), "CATALOG_INVALID", /:3: .*tunnel/],
  ] as const) {
    const path = join(dir, "services.yaml");
    if (text !== null) writeFileSync(path, text);
    await t.rejects(fixture(t, path), { code, category: "config", hint: /./, message });
  }
  await t.rejects(fixture(t, join(dir, "nowhere", "services.yaml")), { code: "CATALOG_UNREADABLE" });
});
