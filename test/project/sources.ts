/** The project's own files, as its tests about itself read them. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** This file runs from dist/test/project. */
export const ROOT: string = fileURLToPath(new URL("../../..", import.meta.url));

export interface Source {
  /** From the root: `src/base/ring.ts`. */
  path: string;
  /** First folder below `src`. */
  room: string;
  ast: ts.SourceFile;
  imports: Import[];
}

export interface Import {
  specifier: string;
  /** `import type`, or nothing but types inside the braces. */
  typeOnly: boolean;
  line: number;
}

export function readSources(): Source[] {
  const dir = join(ROOT, "src");
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter(name => name.endsWith(".ts"))
    .map(name => readSource(join(dir, name)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function readSource(file: string): Source {
  const path = relative(ROOT, file);
  const ast = parse(path, readFileSync(file, "utf8"));
  return { path, room: path.split("/")[1] ?? "", ast, imports: findImports(ast) };
}

export function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
}

/** Static imports, re-exports and `import()`. */
export function findImports(ast: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Expression | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return;
    found.push({ specifier: specifier.text, typeOnly, line: lineOf(ast, node) });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, isTypeOnly(node));
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(ast);
  return found;
}

function isTypeOnly(node: ts.ImportDeclaration): boolean {
  const clause = node.importClause;
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  const named = clause.namedBindings;
  if (clause.name !== undefined || named === undefined || !ts.isNamedImports(named)) return false;
  return named.elements.every(element => element.isTypeOnly);
}

export function lineOf(ast: ts.SourceFile, node: ts.Node): number {
  return ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1;
}

const NOT_OURS = new Set(["node_modules", "dist", ".git", ".tap", ".cache"]);

/** Every file of the project, from the root. */
export function projectFiles(dir: string = ""): string[] {
  return readdirSync(join(ROOT, dir), { withFileTypes: true }).flatMap(entry => {
    const path = join(dir, entry.name);
    if (NOT_OURS.has(entry.name)) return [];
    return entry.isDirectory() ? projectFiles(path) : [path];
  });
}
