/** `czctl diagnostics` on a laptop full of secrets: none of them is in the archive, and what helps is. */
import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import t from "tap";
import type { DaemonStatus } from "../../src/api/index.js";
import { toBase64 } from "../../src/base/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { credential, Laptop, prepare } from "./laptop.js";

const PASSWORD = "correct-horse-battery-9";
const FOREIGN = "93.184.216.34 wiki.acme-secret.example # do not tell\n";
const HOME = ["", "home", "mallory"].join("/");

const unavailable = tunUnavailable();
if (unavailable !== false) t.pass("diagnostics", { skip: unavailable });
else if (enterNamespace(t, import.meta.url)) {
  t.test("planted secrets are nowhere in it", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    writeFileSync(laptop.hostsFile, FOREIGN);
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const { privateKey, presharedKey } = credential("team");
    const log = join(laptop.stateDir, "daemon.log");
    const hex = Buffer.from(privateKey, "base64").toString("hex");
    appendFileSync(
      log,
      `error cannot dial 93.184.216.34:51820 password=${PASSWORD} in ${HOME}/x\nset private_key=${hex} ${privateKey}\n`,
    );
    const path = join(laptop.dir, "report.tar.gz");
    const { code, stdout, stderr } = await laptop.czctl(["diagnostics", "--output", path], {
      env: { SUDO_USER: "mallory", LOGNAME: "mallory" },
    });
    t.equal(code, 0, stderr);
    t.match(stdout, path);
    t.equal(statSync(path).mode & 0o777, 0o600);
    const text = gunzipSync(readFileSync(path)).toString("latin1");
    const planted = [
      privateKey,
      presharedKey as string,
      hex,
      PASSWORD,
      "mallory",
      "93.184.216.34",
      "acme-secret",
    ];
    for (const secret of planted) t.notOk(text.includes(secret), `${secret.slice(0, 12)}… is not in it`);
    t.notOk(text.includes(toBase64(new Uint8Array(32).fill(3))), "nor the agent's public key");

    const read = (name: string): string =>
      execFileSync("tar", ["-xzOf", path, name], { encoding: "utf8", env: { PATH: process.env.PATH } });
    t.match(read("daemon.log"), /device ready/);
    t.match(read("daemon.log"), /cannot dial <address-\d>:51820 password=<secret-1> in \/home\/<user-1>\/x/);
    t.equal((JSON.parse(read("status.json")) as DaemonStatus).space, "team");
    t.match(JSON.parse(read("about.json")), { czctl: /^\d/, node: process.version });
    t.match(read("hosts-section.txt"), /^###\n# CODEZERO\n[\s\S]* frontend\.shop\n/);
    t.match(JSON.parse(read("network.json")), {
      links: [{ name: "lo" }],
      routes: [{}],
      rules: [{ table: 255 }],
    });
    t.ok((JSON.parse(read("doctor.json")) as unknown[]).length > 5);
    for (const name of ["settings.json", "resolver.json"]) t.ok(JSON.parse(read(name)), name);

    const again = await laptop.czctl(["diagnostics", "--output", path]);
    t.equal(again.code, 2, "a file that is there stays");
    t.match(again.stderr, "there already");
  });

  t.test("without a daemon, and by a user who may not read the log", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    const path = join(laptop.dir, "report.tar.gz");
    const found = await laptop.json<{ path: string; files: { name: string; bytes: number }[] }>(
      "diagnostics",
      "--output",
      path,
    );
    t.equal(found.path, path);
    t.match(
      found.files.find(({ name }) => name === "daemon.log"),
      { bytes: Number },
    );
    t.match(gunzipSync(readFileSync(path)).toString("latin1"), /cannot be read: ENOENT/);
  });
}
