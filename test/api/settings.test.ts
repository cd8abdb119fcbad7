/** Settings survive the way through the environment of child processes. */
import t from "tap";
import { readSettings, type Settings, writeSettings } from "../../src/api/index.js";

t.test("defaults", async t => {
  t.strictSame(readSettings({}), {
    stateDir: "/var/lib/czctl",
    socketPath: "/run/czctl.sock",
    hostsFile: "/etc/hosts",
    logLevel: "info",
    logFormat: "text",
  });
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
  };
  t.strictSame(readSettings(writeSettings(all)), all);
  const plain = readSettings({});
  t.strictSame(readSettings({ ...writeSettings(all), ...writeSettings(plain) }), plain);
});
