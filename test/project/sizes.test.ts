/** A file and a function that can be read at one go: limits on their length. */
import t from "tap";
import ts from "typescript";
import { lineOf, parse, readSources } from "./sources.js";

/** The first that applies. */
const MAX_FILE_LINES: readonly [string, number][] = [
  ["src/netstack/", 350],
  // Past 500 one asks why; a few have an answer.
  ["src/", 600],
];
const MAX_FUNCTION_LINES: readonly [string, number][] = [
  ["src/netstack/", 80],
  // A command is a list of its options.
  ["src/cli/", 120],
  ["src/", 100],
];

interface Length {
  name: string;
  lines: number;
}

/** Functions, methods, constructors and accessors with a body, from the line of their name to their last. */
function functionLengths(ast: ts.SourceFile): Length[] {
  const found: Length[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const end = ast.getLineAndCharacterOfPosition(node.getEnd()).line + 1;
      const start = lineOf(ast, node);
      found.push({ name: `${ast.fileName}:${start}`, lines: end - start + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(ast);
  return found;
}

function limit(limits: readonly [string, number][], path: string): number {
  return limits.find(([start]) => path.startsWith(start))?.[1] ?? 0;
}

const fileLines = (ast: ts.SourceFile): number => ast.getLineStarts().length - 1;

t.test("no file of the stack has more than 350 lines, and no other more than 600", async t => {
  const long = readSources()
    .map(({ path, ast }): Length => ({ name: path, lines: fileLines(ast) }))
    .filter(({ name, lines }) => lines > limit(MAX_FILE_LINES, name));
  t.same(long, []);
});

t.test("no function of the stack has more than 80 lines, and no other more than 100", async t => {
  const long = readSources()
    .flatMap(({ ast }) => functionLengths(ast))
    .filter(({ name, lines }) => lines > limit(MAX_FUNCTION_LINES, name));
  t.same(long, []);
});

t.test("the measure counts what it should", async t => {
  const body = "  x();\n".repeat(3);
  const text = `class A {\n  get b() {\n${body}  }\n}\nconst f = () => {\n${body}};\nfunction g(): void;\n`;
  const ast = parse("sample.ts", text);
  t.equal(fileLines(ast), 13);
  t.same(
    functionLengths(ast).map(one => one.lines),
    [5, 5],
  );
});
