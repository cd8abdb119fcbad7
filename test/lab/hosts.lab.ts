/**
 * The laptop's hosts file in every state that users bring along, with the real czctl: while it runs the names are
 * there or it says why not, and afterwards each byte is as before, whoever died or edited in between.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogText } from "./catalog.js";
import { type Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";

const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: ["10.96.0.30"],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);
const PLAIN = "127.0.0.1 localhost\n10.1.2.3 printer.home\n";
/** An edit by others is looked for every two seconds, a write that failed tried again after three. */
const NOTICED_MS = 15_000;
const LINE = / frontend\.shop\n/;

/** One hosts file, bound over `/etc/hosts` for the time of a check. */
class HostsFile {
  readonly #lab: Lab;
  #folder = "";

  constructor(l: Lab) {
    this.#lab = l;
  }

  /** @param size of its file system, as tmpfs wants it */
  async mount(content: string, size: string = "16m"): Promise<void> {
    const { laptop } = this.#lab;
    const source = join(laptop.dir, "content");
    this.#folder = join(laptop.dir, "mounted");
    writeFileSync(source, content, "latin1");
    const script =
      'mkdir -p "$1"; mount -t tmpfs -o size="$2" t "$1"; cp "$3" "$1/hosts"; mount --bind "$1/hosts" /etc/hosts';
    await laptop.run("sh", ["-ec", script, "sh", this.#folder, size, source]);
  }

  async unmount(): Promise<void> {
    await this.shell('umount /etc/hosts; umount "$1"');
  }

  /** $1 is the folder of the mounted file. */
  async shell(script: string): Promise<void> {
    await this.#lab.laptop.run("sh", ["-ec", script, "sh", this.#folder]);
  }

  read(): string {
    return readFileSync(this.#lab.laptop.outside("/etc/hosts"), "latin1");
  }

  write(content: string): void {
    writeFileSync(this.#lab.laptop.outside("/etc/hosts"), content, "latin1");
  }
}

/** The names are there: in the file unless said otherwise, by DNS in any case. */
async function works({ laptop }: Lab, czctl: Czctl, file: HostsFile, inFile = true): Promise<void> {
  const there = (): void => assertEqual(LINE.test(file.read()), inFile, "in the hosts file");
  await eventually("the names", there, NOTICED_MS);
  const { dns } = await czctl.status();
  const name = "frontend.shop.svc.cluster.local";
  const answer = await laptop.run("dig", [`@${dns[0]}`, "+short", "+tries=1", "+time=3", name]);
  assertEqual(answer.trim(), await czctl.address("frontend.shop"), "by DNS");
}

async function warns(czctl: Czctl, about: RegExp): Promise<string> {
  const { warnings } = await czctl.status();
  assert(
    warnings.some(text => about.test(text)),
    `status warns of: ${warnings.join("; ") || "nothing"}`,
  );
  return warnings.join("; ");
}

async function contents(l: Lab, czctl: Czctl, check: Check): Promise<void> {
  const files: [name: string, content: string, end: string][] = [
    [
      "CRLF, and octets that are no UTF-8",
      "127.0.0.1 localhost\r\n# \xe4\xff\r\n10.1.2.3 printer\r\n",
      "cleanup",
    ],
    ["no final newline", "127.0.0.1 localhost\n10.1.2.3 printer.home", "down"],
    ["empty", "", "up"],
    ["huge: 5 MB", PLAIN + "10.20.30.40 some-host-of-a-block-list.example.com\n".repeat(100_000), "cleanup"],
  ];
  for (const [name, content, end] of files) {
    await check(`${name}; bind-mounted; all killed at once, then ${end}`, content, async file => {
      await czctl.up();
      await works(l, czctl, file);
      await czctl.killAll();
      assert(LINE.test(file.read()), "nothing is stale yet");
      await czctl.exec([end], { timeoutMs: 20_000 });
      if (end === "up") await czctl.run(["down"]);
      assert(file.read() === content, "not as before");
      return undefined;
    });
  }
}

async function edits(l: Lab, czctl: Czctl, check: Check): Promise<void> {
  await check("markers damaged by hand while it runs", PLAIN, async file => {
    await czctl.up();
    file.write(file.read().replace("# /CODEZERO\n", "").replace("# CODEZERO\n", "# CODE\n"));
    file.write(file.read().replace(/^###\n/gm, ""));
    await works(l, czctl, file);
    await czctl.run(["down"]);
    assertEqual(file.read(), `${PLAIN}# CODE\n`, "what a person made of our marker is that person's");
    return undefined;
  });
  await check("the end marker deleted after a crash, then up and down", PLAIN, async file => {
    await czctl.up();
    await czctl.killAll();
    file.write(file.read().replace("# /CODEZERO\n###\n", ""));
    await czctl.up();
    await works(l, czctl, file);
    await czctl.run(["down"]);
    assertEqual(file.read(), PLAIN, "hosts file");
    return undefined;
  });
  await check(
    "another program writes the file anew: our names come back, its lines stay",
    PLAIN,
    async file => {
      await czctl.up();
      const since = performance.now();
      file.write("10.9.9.9 written-anew\n");
      await works(l, czctl, file);
      const tookMs = Math.round(performance.now() - since);
      await czctl.run(["down"]);
      assertEqual(file.read(), "10.9.9.9 written-anew\n", "hosts file");
      return `after ${tookMs} ms`;
    },
  );
}

async function obstacles(l: Lab, czctl: Czctl, check: Check): Promise<void> {
  await check("read-only: said, DNS answers, nothing to take back", PLAIN, async file => {
    await file.shell("mount -o remount,bind,ro /etc/hosts");
    await czctl.up();
    await works(l, czctl, file, false);
    const said = await warns(czctl, /read-only/);
    await czctl.run(["down"]);
    assertEqual(file.read(), PLAIN, "hosts file");
    return said;
  });
  await check(
    "read-only since: down says so, and once it is writable cleanup mends it",
    PLAIN,
    async file => {
      await czctl.up();
      await file.shell("mount -o remount,bind,ro /etc/hosts");
      const { code, stderr } = await czctl.exec(["down"]);
      assert(code !== 0 && /cleanup/.test(stderr), `exit ${code}: ${stderr}`);
      await file.shell("mount -o remount,bind,rw /etc/hosts");
      await czctl.run(["cleanup"]);
      assertEqual(file.read(), PLAIN, "hosts file");
      return stderr.trim().split("\n")[0];
    },
  );
  await check(
    "a full disk: said, DNS answers; the names are there soon after there is space",
    PLAIN,
    async file => {
      // Its one page is filled to the last byte, and there is no other.
      await file.unmount();
      const content = `${PLAIN}# ${"x".repeat(4093 - PLAIN.length)}\n`;
      await file.mount(content, "8k");
      await file.shell('cat /dev/zero > "$1/filler" 2>/dev/null || :');
      await czctl.up();
      await works(l, czctl, file, false);
      const said = await warns(czctl, /disk is full/);
      assertEqual(file.read(), content, "hosts file");
      await file.shell('rm "$1/filler"');
      await works(l, czctl, file);
      await file.shell('cat /dev/zero > "$1/filler" 2>/dev/null || :');
      await czctl.run(["down"]);
      assertEqual(file.read(), content, "hosts file");
      return said;
    },
  );
}

/** A check on a hosts file of its own; afterwards nothing of czctl runs. */
type Check = (
  name: string,
  content: string,
  body: (file: HostsFile) => Promise<string | undefined>,
) => Promise<void>;

await lab(import.meta.url, async l => {
  const { czctl } = await makeTeamspace(l, CATALOG);
  await czctl.run(["down"]);
  const check: Check = async (name, content, body) => {
    const run = async (): Promise<string | undefined> => {
      const file = new HostsFile(l);
      await file.mount(content);
      try {
        return await body(file);
      } finally {
        await czctl.exec(["down"]);
        await file.unmount();
      }
    };
    await l.check(name, run, { needs: ["dig"] });
  };
  await contents(l, czctl, check);
  await edits(l, czctl, check);
  await obstacles(l, czctl, check);
});
