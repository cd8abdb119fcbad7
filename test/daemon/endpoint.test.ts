/** Finding the agent, and saying why it cannot be found. */
import { createSocket } from "node:dgram";
import t from "tap";
import { Prefix } from "../../src/base/index.js";
import { AgentEndpoint } from "../../src/daemon/endpoint.js";

const OURS = [Prefix.from("198.18.0.0/16"), Prefix.from("fd00:1::/64")];

function endpoint(text: string, ...answers: (string[] | Error)[]): AgentEndpoint {
  let asked = 0;
  return new AgentEndpoint(text, OURS, async () => {
    const answer = answers[Math.min(asked++, answers.length - 1)] ?? [];
    if (answer instanceof Error) throw answer;
    return answer;
  });
}

t.test("an address needs no name server", async t => {
  const agent = endpoint("[2001:db8::1]:51820", new Error("asked"));
  t.equal(agent.current, null);
  t.equal(await agent.advance(), true);
  t.equal(agent.current, "[2001:db8::1]:51820");
  t.equal(await agent.advance(), false, "there is no other");
});

t.test("each time-out tries the next address, resolved anew", async t => {
  const both = ["2001:db8::1", "192.0.2.1"];
  const agent = endpoint("agent.example:51820", both, both, both, ["192.0.2.9"], new Error("down"), []);
  await agent.advance();
  t.equal(agent.current, "[2001:db8::1]:51820");
  await agent.advance();
  t.equal(agent.current, "192.0.2.1:51820");
  await agent.advance();
  t.equal(agent.current, "[2001:db8::1]:51820");
  t.equal(await agent.advance(), true, "the name has moved");
  t.equal(agent.current, "192.0.2.9:51820");
  t.equal(await agent.advance(), false, "no answer: keep what we have");
  t.equal(await agent.advance(), false);
  t.equal(agent.current, "192.0.2.9:51820");
});

t.test("our own virtual addresses are never the agent, whatever our hosts section says", async t => {
  const agent = endpoint("vpn.example:51820", ["198.18.3.4", "fd00:1::5"], ["198.18.3.4", "192.0.2.1"]);
  t.equal(await agent.advance(), false);
  t.equal(agent.current, null);
  await agent.advance();
  t.equal(agent.current, "192.0.2.1:51820");
});

t.test("why nobody answers", async t => {
  const unresolved = endpoint("agent.example:51820", new Error("ENOTFOUND"));
  await unresolved.advance();
  t.match(await unresolved.diagnose(0, 1000), { code: "AGENT_NAME_UNRESOLVED", message: /agent\.example/ });

  const socket = createSocket("udp4");
  await new Promise<void>(resolve => socket.bind(0, "127.0.0.1", resolve));
  const agent = endpoint(`127.0.0.1:${socket.address().port}`);
  await agent.advance();
  t.match(await agent.diagnose(0, 1000), { code: "AGENT_SILENT", hint: /credential is its own/ });
  t.match(
    await agent.diagnose(500, 1000),
    { code: "AGENT_SILENT", hint: /not revoked/ },
    "it has answered before",
  );
  t.match(await agent.diagnose(61_000, 1000), { code: "CLOCK_BEHIND", message: /clock is 60 s behind/ });
  await new Promise<void>(resolve => socket.close(() => resolve()));
  t.match(await agent.diagnose(0, 1000), { code: "AGENT_REFUSED", message: /nothing listens/ });

  const nowhere = endpoint("255.255.255.255:51820");
  await nowhere.advance();
  t.match(await nowhere.diagnose(0, 1000), { code: "AGENT_UNREACHABLE", message: /cannot send/ });
});
