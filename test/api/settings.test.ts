/** Settings survive the way through the environment of child processes. */
import t from "tap";
import { childEnvironment, readSettings, type Settings } from "../../src/api/index.js";

t.test("defaults", async t => {
  t.strictSame(readSettings({}), {
    stateDir: "/var/lib/czctl",
    socketPath: "/run/czctl.sock",
    hostsFile: "/etc/hosts",
    logLevel: "info",
    logFormat: "text",
    tuning: { disableOffloads: [], congestion: "bbr" },
  });
});

t.test("an empty variable is none; one that means nothing is an error", async t => {
  const names = [
    "CZCTL_LOG_LEVEL",
    "CZCTL_LOG_FORMAT",
    "CZCTL_METRICS_PORT",
    "CZCTL_DISABLE_OFFLOADS",
    "CZCTL_CONGESTION",
    "CZCTL_DEBUG",
  ];
  t.strictSame(readSettings(Object.fromEntries(names.map(name => [name, ""]))), readSettings({}));
  for (const name of names) {
    for (const value of ["INFO", "yes", "-1", "1.5", "99999"]) {
      t.throws(() => readSettings({ [name]: value }), { category: "user", message: `${name}=${value} ` });
    }
  }
});

t.test("numbers and lists are read to their ends", async t => {
  for (const port of ["0", "80x"])
    t.throws(() => readSettings({ CZCTL_METRICS_PORT: port }), /is not a port/);
  for (const offloads of ["gso,usO", "gso;gro", "gso,", ","]) {
    t.throws(() => readSettings({ CZCTL_DISABLE_OFFLOADS: offloads }), /is not a list of gso, gro, tso/);
  }
  const { tuning } = readSettings({ CZCTL_DISABLE_OFFLOADS: "tso,gso", CZCTL_CONGESTION: "cubic" });
  t.strictSame(tuning, { disableOffloads: ["tso", "gso"], congestion: "cubic" });
  t.equal(readSettings({ CZCTL_DEBUG: "1" }).logLevel, "debug");
  t.equal(readSettings({ CZCTL_DEBUG: "0" }).logLevel, "info");
});

t.test("what is written is read again, whatever the parent's environment was", async t => {
  const all: Settings = {
    stateDir: "/a",
    socketPath: "/b",
    hostsFile: "/c",
    serviceRange: "10.9.0.0/16",
    logLevel: "warn",
    logFormat: "json",
    metricsPort: 9464,
    tuning: { disableOffloads: ["gso", "tso"], congestion: "cubic" },
  };
  t.strictSame(readSettings(childEnvironment({}, all)), all);
  const plain = readSettings({});
  t.strictSame(readSettings(childEnvironment(childEnvironment({}, all), plain)), plain);
});

t.test("a child has the parent's environment, without the certificates that it would only read", t => {
  const parent = {
    PATH: "/bin",
    NODE_OPTIONS: "--no-warnings",
    NODE_EXTRA_CA_CERTS: "/etc/ssl/corporate.pem",
  };
  const child = childEnvironment(parent, readSettings({}));
  t.match(child, { PATH: "/bin", NODE_OPTIONS: "--no-warnings", NODE_EXTRA_CA_CERTS: undefined });
  t.end();
});
