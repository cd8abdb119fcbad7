/**
 * The real systemd-resolved on the laptop, a company's VPN with a domain of its own beside us: each name goes to
 * its own server, and `down` leaves resolved as it was.
 */
import { type Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import { startDnsmasq } from "./programs.js";
import { RESOLVECTL, SystemdResolved } from "./systemd-resolved.js";

/** What is behind the VPN is on the host in the middle here; the laptop has a device for it. */
const VPN_DNS = "10.20.0.53";
const OFFICE = "intra.office.test";
/** The name server of the laptop's own network. */
const HOME_DNS = "192.0.2.1";
const SRV = "_http._tcp.frontend.shop.svc.cluster.local";
const POD = "10-244-0-7.shop.pod.cluster.local";

const CATALOG = `
namespaces:
  shop:
    frontend: { clusterIP: 10.96.0.30, ports: [{ name: http, port: 80 }] }
    db: { headless: true, ports: [5432], endpoints: [{ address: 10.244.0.7, hostname: db-0 }] }
    billing: { externalName: www.public.test }
`;

async function startNetworks({ laptop, internet }: Lab): Promise<void> {
  await internet.ip(
    `link add vpn0 type veth peer name tun-office netns ${laptop.pid}\nlink set vpn0 up\n` +
      `addr add 10.20.0.1/24 dev vpn0\naddr add ${VPN_DNS}/32 dev lo\n`,
  );
  await laptop.ip("link set tun-office up\naddr add 10.20.0.2/24 dev tun-office\n");
  await startDnsmasq(internet, HOME_DNS, {
    "www.public.test": "198.41.0.4",
    "frontend.public.test": "198.41.0.5",
  });
  await startDnsmasq(internet, VPN_DNS, { [OFFICE]: "10.20.0.80" });
}

/** As a program asks that knows nothing of us: through resolved's stub. */
async function dig({ laptop }: Lab, ...words: string[]): Promise<string> {
  return (await laptop.run("dig", ["@127.0.0.53", "+tries=1", "+time=5", "+short", ...words])).trim();
}

/** What resolved is told, not which of its servers it has asked last. */
async function settings(resolved: SystemdResolved): Promise<string> {
  const lines = (await resolved.ctl("status")).split("\n").map(line => line.trim());
  return lines.filter(line => !line.startsWith("Current DNS Server")).join("\n");
}

async function everyNameAtItsPlace(l: Lab, czctl: Czctl): Promise<void> {
  const address = await czctl.address("frontend.shop");
  assertEqual(await dig(l, OFFICE), "10.20.0.80", "the VPN's name");
  assertEqual(await dig(l, "www.public.test"), "198.41.0.4", "a public name");
  assertEqual(await dig(l, "frontend.public.test"), "198.41.0.5", "a public name that looks like ours");
  assertEqual(await dig(l, "frontend.shop.svc.cluster.local"), address, "ours");
  assertEqual(await dig(l, SRV, "SRV"), "0 100 80 frontend.shop.svc.cluster.local.", "SRV");
  const names = (await dig(l, "-x", address)).split("\n");
  assert(names.includes("frontend.shop.svc.cluster.local."), `PTR: ${names}`);
  assertEqual(await dig(l, "missing.shop.svc.cluster.local"), "", "a name of the zone that nobody has");
  assert((await dig(l, POD)).startsWith("198.18."), "a pod's name");
  assert(!l.laptop.readHosts().includes(POD), "the pod's name is in the hosts file");
  assertEqual(await dig(l, "billing.shop.svc.cluster.local"), "www.public.test.\n198.41.0.4", "ExternalName");
}

await lab(import.meta.url, async l => {
  const { laptop, check } = l;
  const options = { needs: [RESOLVECTL, "dig", "dnsmasq"], needsRoot: true };
  let resolved!: SystemdResolved;
  const started = await check(
    "systemd-resolved and a VPN's split DNS, without czctl",
    async () => {
      await startNetworks(l);
      resolved = await SystemdResolved.start(laptop);
      await resolved.ctl("dns", "eth0", HOME_DNS);
      await resolved.ctl("dns", "tun-office", VPN_DNS);
      await resolved.ctl("domain", "tun-office", "~office.test");
      assertEqual(await dig(l, OFFICE), "10.20.0.80", "the VPN's name");
      assertEqual(await dig(l, "www.public.test"), "198.41.0.4", "a public name");
      return undefined;
    },
    options,
  );
  if (!started) return;
  const before = await settings(resolved);
  const { czctl } = await makeTeamspace(l, CATALOG);
  const registered = (): Promise<void> =>
    eventually("registered", async () =>
      assertEqual((await czctl.status()).resolved.state, "registered", "state"),
    );
  await check("our names, the VPN's and public ones, each from its own server", async () => {
    await registered();
    await everyNameAtItsPlace(l, czctl);
    return (await resolved.ctl("domain", "czctl0")).trim();
  });
  await check("nothing but our zone is asked of us", async () => {
    const { dns } = await czctl.status();
    assertEqual((await resolved.ctl("dns", "czctl0")).trim().split(" ").at(-1), dns[0], "server");
    assert(/: no$/.test((await resolved.ctl("default-route", "czctl0")).trim()), "a default route of names");
    return undefined;
  });
  await check("systemd-resolved restarts: our link is back", async () => {
    await resolved.stopDaemon();
    await eventually("noticed", async () =>
      assertEqual((await czctl.status()).resolved.state, "absent", "state"),
    );
    // It would remember links by itself: what counts is that we tell it anew.
    await laptop.run("sh", ["-c", "rm -rf /run/systemd/resolve/netif/*"]);
    await resolved.startDaemon();
    const since = performance.now();
    await registered();
    await eventually("SRV", async () =>
      assertEqual(await dig(l, SRV, "SRV"), "0 100 80 frontend.shop.svc.cluster.local.", "SRV"),
    );
    return `after ${Math.round(performance.now() - since)} ms`;
  });
  await check(
    "somebody else takes our link's settings away: back at the next change of the network",
    async () => {
      await resolved.ctl("revert", "czctl0");
      await laptop.ip("addr add 192.0.2.77/32 dev eth0\n");
      await eventually("SRV", async () =>
        assertEqual(await dig(l, SRV, "SRV"), "0 100 80 frontend.shop.svc.cluster.local.", "SRV"),
      );
      await laptop.ip("addr del 192.0.2.77/32 dev eth0\n");
      return undefined;
    },
  );
  await check("down: systemd-resolved as it was", async () => {
    await resolved.ctl("dns", "eth0", HOME_DNS);
    await resolved.ctl("dns", "tun-office", VPN_DNS);
    await resolved.ctl("domain", "tun-office", "~office.test");
    await czctl.run(["down"]);
    assertEqual(await settings(resolved), before, "resolvectl status");
    assertEqual(await dig(l, SRV, "SRV"), "", "SRV");
    return undefined;
  });
  await check("all killed at once: systemd-resolved as it was", async () => {
    await czctl.up();
    await registered();
    await czctl.killAll();
    await eventually("as before", async () =>
      assertEqual(await settings(resolved), before, "resolvectl status"),
    );
    await czctl.run(["cleanup"]);
    return undefined;
  });
});
