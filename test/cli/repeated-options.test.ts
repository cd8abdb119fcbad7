import t from "tap";
import { joinRepeatedOptions } from "../../src/cli/repeated-options.js";

const join = (line: string): string => joinRepeatedOptions(line.split(" ")).join(" ");

t.test("repeated options with several values are one option with all of them", async t => {
  t.equal(join("agent invite ann --allow a.b --allow !c.b"), "agent invite ann --allow a.b !c.b");
  t.equal(
    join("agent invite ann --allow=a.b --dir d --allow c d"),
    "agent invite ann --dir d --allow a.b c d",
  );
  t.equal(
    join("agent run --namespaces a --kubernetes --namespaces=b"),
    "agent run --kubernetes --namespaces a b",
  );
  t.equal(join("x --group a --allow b --group c"), "x --group a c --allow b");
});

t.test("everything else stays as it is", async t => {
  t.equal(join("agent run --dir a --dir b --catalog=c"), "agent run --dir a --dir b --catalog=c");
  t.equal(join("agent invite ann --allow"), "agent invite ann --allow", "for yargs to complain about");
});
