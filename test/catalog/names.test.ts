/** Names that a hostile agent or namespace must not get into the hosts file. */
import t from "tap";
import { Prefix } from "../../src/base/index.js";
import {
  hasShortNames,
  hostEntries,
  parseRules,
  placeServices,
  VirtualAddresses,
} from "../../src/catalog/index.js";

t.test("a service cannot be called as a well-known place of the internet is", async t => {
  const { placed } = placeServices(
    [
      {
        namespace: "com",
        name: "github",
        kind: "headless",
        ports: [{ protocol: "tcp", port: 443 }],
        targets: [],
        endpoints: [{ address: "10.1.0.1", hostname: "www", ready: true }],
      },
    ],
    parseRules("*").rules,
    new VirtualAddresses(Prefix.from("198.18.0.0/16"), Prefix.from("fd11::/64"), {}),
  );
  const names = hostEntries(placed, "cluster.local", "com").flatMap(entry => entry.names);
  t.strictSame(names, [
    "github",
    "github.com.svc",
    "github.com.svc.cluster.local",
    "www.github.com.svc",
    "www.github.com.svc.cluster.local",
  ]);
});

t.test("ISO 3166 and RFC 1591 §2; what namespaces are called stays", async t => {
  for (const namespace of ["com", "org", "net", "gov", "arpa", "io", "de", "ai"])
    t.notOk(hasShortNames(namespace), namespace);
  for (const namespace of ["shop", "dev", "default", "kube-system", "a", "n1", "1n"])
    t.ok(hasShortNames(namespace), namespace);
});
