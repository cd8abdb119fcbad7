/** A file and a function that can be read at one go: limits on their length. */
import t from "tap";
import ts from "typescript";
import { lineOf, parse, readSources } from "./sources.js";

const MAX_FILE_LINES = 350;
const MAX_FUNCTION_LINES = 80;

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

const fileLines = (ast: ts.SourceFile): number => ast.getLineStarts().length - 1;

t.test("no file has more than 350 lines", async t => {
  const long = readSources()
    .map(({ path, ast }): Length => ({ name: path, lines: fileLines(ast) }))
    .filter(({ lines }) => lines > MAX_FILE_LINES);
  t.same(long, []);
});

t.test("no function has more than 80 lines", async t => {
  const long = readSources()
    .flatMap(({ ast }) => functionLengths(ast))
    .filter(({ lines }) => lines > MAX_FUNCTION_LINES);
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
