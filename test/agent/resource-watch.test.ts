/** List and watch (Kubernetes API concepts, "Efficient detection of changes") against a scripted server. */
import t from "tap";
import {
  KubernetesError,
  type ListPage,
  type ResourceApi,
  ResourceWatch,
  type WatchHandler,
  type WatchLine,
} from "../../src/agent/discovery/resource-watch.js";

type Step = { list: ListPage | Error } | { watch: WatchLine[]; lastsMs?: number; fails?: Error };

const object = (name: string, resourceVersion: string) => ({
  metadata: { name, namespace: "shop", resourceVersion },
});
const page = (resourceVersion: string, names: string[], next?: string): ListPage => ({
  items: names.map(name => object(name, resourceVersion)),
  metadata: { resourceVersion, ...(next === undefined ? {} : { continue: next }) },
});
const line = (
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK",
  name: string,
  version: string,
): WatchLine => ({
  type,
  object: object(name, version),
});
const GONE: WatchLine = { type: "ERROR", object: { code: 410, message: "too old resource version" } };

/** Plays the steps in order and notes what was asked and told; ends when they are used up. */
async function play(steps: Step[]): Promise<{ asked: string[]; told: string[]; slept: number[] }> {
  const asked: string[] = [];
  const told: string[] = [];
  const slept: number[] = [];
  const abort = new AbortController();
  let nowMs = 0;
  const next = (): Step => {
    const step = steps.shift();
    if (step !== undefined) return step;
    abort.abort();
    throw new Error("over");
  };
  const api: ResourceApi = {
    async list({ continue: token }) {
      asked.push(`list${token === undefined ? "" : ` ${token}`}`);
      const step = next();
      if (!("list" in step)) throw new TypeError(`the test expected a watch, not a list: ${asked}`);
      if (step.list instanceof Error) throw step.list;
      return step.list;
    },
    async *watch(version) {
      asked.push(`watch ${version}`);
      const step = next();
      if (!("watch" in step)) throw new TypeError(`the test expected a list, not a watch: ${asked}`);
      yield* step.watch;
      nowMs += step.lastsMs ?? 60_000;
      if (step.fails !== undefined) throw step.fails;
    },
  };
  const handler: WatchHandler = {
    replace: items => told.push(`replace ${items.map(item => item.metadata?.name)}`),
    set: item => told.push(`set ${item.metadata?.name}`),
    delete: item => told.push(`delete ${item.metadata?.name}`),
    failed: (error, delayMs) => told.push(`failed ${error.message} ${delayMs}`),
    recovered: () => told.push("recovered"),
  };
  const clock = {
    now: () => nowMs,
    sleep: async (ms: number) => {
      slept.push(ms);
      nowMs += ms;
    },
    random: () => 0.999_999,
  };
  await new ResourceWatch(api, handler, clock).run(abort.signal);
  return { asked, told, slept };
}

t.test("a list in pages is one list, and the watch starts at its version", async t => {
  const { asked, told } = await play([{ list: page("7", ["a", "b"], "next") }, { list: page("7", ["c"]) }]);
  t.same(asked, ["list", "list next", "watch 7"]);
  t.same(told, ["replace a,b,c"]);
});

t.test(
  "a watch that the server ends is resumed from the last version, bookmarks included, without a pause",
  async t => {
    const { asked, told, slept } = await play([
      { list: page("7", []) },
      { watch: [line("ADDED", "a", "8"), line("MODIFIED", "a", "9"), line("BOOKMARK", "", "20")] },
      { watch: [line("DELETED", "a", "21")] },
    ]);
    t.same(asked, ["list", "watch 7", "watch 20", "watch 21"]);
    t.same(told, ["replace ", "set a", "set a", "delete a"]);
    t.same(slept, []);
  },
);

t.test("410 Gone in the stream or as the answer: a new list at once", async t => {
  for (const gone of [{ watch: [GONE] }, { watch: [], fails: new KubernetesError("gone", 410) }]) {
    const { asked, slept } = await play([{ list: page("7", []) }, gone, { list: page("90", ["a"]) }]);
    t.same(asked, ["list", "watch 7", "list", "watch 90"]);
    t.same(slept, []);
  }
});

t.test("a server that forgets every version is asked ever more slowly", async t => {
  const rounds = [1, 2, 3, 4].flatMap((): Step[] => [{ list: page("7", []) }, { watch: [GONE] }]);
  const { slept } = await play(rounds);
  t.same(slept, [500, 1000, 2000]);
});

t.test("a continue token that has expired starts the list anew", async t => {
  const { asked, told } = await play([
    { list: page("7", ["a"], "old") },
    { list: new KubernetesError("expired", 410) },
    { list: page("9", ["b"]) },
  ]);
  t.same(asked, ["list", "list old", "list", "watch 9"]);
  t.same(told, ["replace b"], "the half that was there is forgotten");
});

t.test(
  "a server that is away: pauses double up to ten seconds, then the watch resumes without a list",
  async t => {
    const away = new Error("connect ECONNREFUSED");
    const { asked, told, slept } = await play([
      { list: page("7", []) },
      ...Array.from({ length: 8 }, (): Step => ({ watch: [], lastsMs: 0, fails: away })),
      { watch: [line("ADDED", "a", "8")] },
    ]);
    t.same(slept, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    t.equal(asked.filter(what => what === "list").length, 1);
    t.same(told.slice(-2), ["set a", "recovered"]);
  },
);

t.test("watches that end at once and bring nothing are a failure", async t => {
  const { slept } = await play([
    { list: page("7", []) },
    { watch: [], lastsMs: 3 },
    { watch: [], lastsMs: 3 },
  ]);
  t.same(slept, [250, 500]);
});
