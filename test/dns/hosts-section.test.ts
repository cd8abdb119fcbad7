import t from "tap";
import { replaceSection } from "../../src/dns/hosts-section.js";
import { renderSection, splitHosts } from "../../src/dns/index.js";

const ENTRIES = [
  {
    address: "198.18.0.7",
    names: ["frontend", "frontend.shop", "frontend.shop.svc", "frontend.shop.svc.cluster.local"],
  },
  { address: "fd11::8", names: ["dual.shop", "dual.shop.svc", "dual.shop.svc.cluster.local"] },
];
const LINES = renderSection(ENTRIES);
const SECTION = `###
# CODEZERO
# This section is managed by Codezero. Do not edit manually.
198.18.0.7 frontend
198.18.0.7 frontend.shop
198.18.0.7 frontend.shop.svc
198.18.0.7 frontend.shop.svc.cluster.local
fd11::8 dual.shop
fd11::8 dual.shop.svc
fd11::8 dual.shop.svc.cluster.local
# /CODEZERO
###
`;
const START = "###\n# CODEZERO\n# This section is managed by Codezero. Do not edit manually.\n";
const END = "# /CODEZERO\n###\n";
const BODY = SECTION.slice(START.length, -END.length);

const bytes = (text: string) => Buffer.from(text, "latin1");
const put = (text: string, lines: readonly string[] | null = LINES) =>
  replaceSection(bytes(text), lines).toString("latin1");
const without = (text: string) => put(text, null);

t.test("the section is exactly as documented", async t => {
  t.equal(LINES.map(line => `${line}\n`).join(""), SECTION);
  t.strictSame(renderSection([]), [...START.trimEnd().split("\n"), ...END.trimEnd().split("\n")]);
});

t.test("no entry can smuggle in a line", async t => {
  for (const entry of [
    { address: "198.18.0.7", names: ["a\n6.6.6.6 bank.example.com"] },
    { address: "198.18.0.7 x", names: ["a"] },
    { address: "198.18.0.7", names: ["a b"] },
    { address: "198.18.0.7", names: ["A"] },
  ]) {
    t.throws(() => renderSection([entry]), RangeError);
  }
});

const LOCAL = "127.0.0.1 localhost\n::1 localhost\n";

t.test("put in, put again, taken out: the file as it was", async t => {
  const files: [title: string, file: string, withSection: string][] = [
    ["an ordinary file", LOCAL, LOCAL + SECTION],
    ["an empty file", "", SECTION],
    ["no newline at the end", `${LOCAL}10.0.0.1 last`, `${LOCAL}${SECTION}10.0.0.1 last`],
    ["one line without a newline", "10.0.0.1 last", `${SECTION}10.0.0.1 last`],
    ["CRLF", "127.0.0.1 localhost\r\n", `127.0.0.1 localhost\r\n${SECTION}`],
    ["blank lines at the end", `${LOCAL}\n\n`, `${LOCAL}\n\n${SECTION}`],
    ["octets that are no UTF-8", "# \xff\xfe\x00\xc3\n", `# \xff\xfe\x00\xc3\n${SECTION}`],
    ["rulers of its own", "###\n# mine\n###\n", `###\n# mine\n###\n${SECTION}`],
    ["a ruler without newline", `${LOCAL}###`, `${LOCAL}${SECTION}###`],
  ];
  for (const [title, file, expected] of files) {
    t.equal(put(file), expected, title);
    t.equal(put(put(file)), expected, `${title}: again`);
    t.equal(put(put(file), renderSection([])).length < expected.length, true, `${title}: smaller`);
    t.equal(without(put(file)), file, `${title}: out`);
    t.equal(without(file), file, `${title}: nothing to take out`);
  }
});

t.test("lines that others added around the section stay, and it stays in its place", async t => {
  const grown = `# top\n${LOCAL}${SECTION}10.0.0.5 added-later\n`;
  t.equal(put(grown, renderSection(ENTRIES.slice(1))), grown.replace(/198\.18\.0\.7 .*\n/g, ""));
  t.equal(without(grown), `# top\n${LOCAL}10.0.0.5 added-later\n`);
  const parts = splitHosts(bytes(grown));
  t.equal(parts.before.toString(), `# top\n${LOCAL}`);
  t.equal(parts.section.toString(), SECTION);
  t.equal(parts.after.toString(), "10.0.0.5 added-later\n");
});

t.test("a section that somebody damaged: all of ours goes, nothing else", async t => {
  const after = "10.0.0.5 added-later\n";
  const cases: [title: string, section: string, kept?: string][] = [
    ["no end marker", START + BODY],
    ["no start marker", BODY + END],
    ["no first ruler", SECTION.slice(4)],
    ["no last ruler", SECTION.slice(0, -4)],
    ["no rulers", SECTION.slice(4, -4)],
    [
      "both markers edited",
      SECTION.replace("# CODE", "# code").replace("# /CODE", "# /code"),
      "###\n# codeZERO\n# /codeZERO\n###\n",
    ],
    ["no notice", SECTION.replace(/# This.*\n/, "")],
    ["only the start", START],
    ["only the end", END],
    ["twice", SECTION + SECTION],
    ["the first of two without its end", START + BODY + SECTION],
    ["the second of two without its start", SECTION + BODY + END],
    ["converted to CRLF", SECTION.replace(/\n/g, "\r\n")],
    ["a stale line of the plain shape", SECTION.replace(END, `198.18.0.9 stale\n${END}`)],
    [
      "a line written into it",
      SECTION.replace(END, `10.0.0.6\tmine alias\n${END}`),
      "10.0.0.6\tmine alias\n",
    ],
    ["a comment written into it", SECTION.replace(BODY, `# why?\n${BODY}`), "# why?\n"],
    ["a blank line in it", SECTION.replace(BODY, `\n${BODY}`), "\n"],
    ["nothing but our lines", BODY, BODY],
  ];
  for (const [title, section, kept = ""] of cases) {
    t.equal(without(LOCAL + section + after), LOCAL + kept + after, title);
    const mended = put(LOCAL + section + after);
    t.equal(mended.split("# CODEZERO\n").length, 2, `${title}: one section afterwards`);
    t.equal(without(mended), LOCAL + kept + after, `${title}: and out`);
  }
  t.equal(
    without(`${LOCAL}${START}10.0.0.5 added-later\n${BODY}`),
    `${LOCAL}10.0.0.5 added-later\n${BODY}`,
    "without an end marker, the first line that may be foreign ends the section",
  );
});

t.test("random foreign content, 3,000 files", async t => {
  let seed = 4711;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  const pieces = [
    "127.0.0.1 localhost",
    "198.18.0.7 frontend",
    "# note",
    "###",
    "#",
    "",
    " ",
    "\t10.0.0.1\ta b",
    "::1 x",
    "\xe4\x00",
  ];
  const ends = ["\n", "\r\n", "\n\n", "\r"];
  const foreign = () => {
    let text = "";
    for (let n = random(8); n > 0; n--)
      text += pieces[random(pieces.length)] + (ends[random(ends.length)] as string);
    return random(3) === 0 ? text + pieces[random(pieces.length)] : text;
  };
  for (let i = 0; i < 3000; i++) {
    const state = seed;
    const file = foreign();
    const once = put(file);
    // What follows a section starts on a line of its own, and does not look like more of it.
    const tail = random(2) === 0 ? "" : `10.9.9.9 tail\n${foreign()}`;
    const complete = !once.endsWith("###\n") ? once : once + tail;
    const expected = !once.endsWith("###\n") ? file : file + tail;
    if (put(complete) !== complete) t.fail(`not idempotent, seed ${state}`);
    if (without(complete) !== expected) t.fail(`not restored, seed ${state}: ${JSON.stringify(file)}`);
    const emptied = put(complete, renderSection([]));
    if (without(emptied) !== expected) t.fail(`not restored after a change, seed ${state}`);
  }
  t.pass();
});
