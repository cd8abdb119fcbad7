/** A data plane's process as its owner sees it, when the owner comes after it. */
import { once } from "node:events";
import { join } from "node:path";
import t from "tap";
import { type DataplaneExit, DataplaneProcess, spawnDataplane } from "../../src/dataplane/index.js";

t.test("one that died before anybody attended to it is reported", async t => {
  const dir = t.testdir({ "dies.mjs": "process.exit(7);" });
  const child = spawnDataplane([], join(dir, "dies.mjs"));
  await once(child, "exit");
  const exit = await new Promise<DataplaneExit>(onExit => {
    new DataplaneProcess(child, { onMessage: message => t.fail(`it said ${message.type}`), onExit });
  });
  t.strictSame(exit, { code: 7, signal: null });
});

t.test("what is sent while it still starts arrives", async t => {
  const dir = t.testdir({
    "echo.mjs": `
      import { createInterface } from "node:readline";
      import { Socket } from "node:net";
      const channel = new Socket({ fd: 3 });
      createInterface({ input: channel }).on("line", line => {
        if (JSON.parse(line).type === "stop") process.exit(0);
        channel.write('{"type":"ready","listenPort":1}\\n');
      });`,
  });
  let process: DataplaneProcess | undefined;
  const answer = await new Promise(onMessage => {
    process = new DataplaneProcess(spawnDataplane([], join(dir, "echo.mjs")), {
      onMessage,
      onExit: () => {},
    });
    process.send({ type: "routes", routes: [] });
  });
  t.match(answer, { type: "ready" });
  await process?.stop();
  t.match(await process?.exited, { code: 0 });
});
