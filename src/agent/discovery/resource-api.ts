/** List and watch of one collection as requests to the API server. */
import type { KubernetesClient } from "../kubernetes-client.js";
import type { ListPage, ResourceApi, WatchClock, WatchLine } from "./resource-watch.js";

/** The server ends a watch after this or up to twice as long, so that not all agents come back at once. */
const WATCH_SECONDS = 300;
/** For the end of the watch to arrive. */
const WATCH_SLACK_MS = 30_000;

export interface Collection {
  /** `/api/v1` or `/apis/GROUP/VERSION`. */
  group: string;
  resource: string;
  namespace?: string;
  /** Only the object of this name. */
  name?: string;
}

export function resourceApi(
  client: Pick<KubernetesClient, "call" | "lines">,
  { group, resource, namespace, name }: Collection,
  clock: WatchClock,
): ResourceApi {
  const path = namespace === undefined ? resource : `namespaces/${namespace}/${resource}`;
  const selector = name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
  const url = (query: Record<string, string>): string =>
    `${group}/${path}?${new URLSearchParams({ ...selector, ...query })}`;
  return {
    async list({ limit, continue: next }, signal) {
      const query = { limit: String(limit), ...(next === undefined ? {} : { continue: next }) };
      return (await client.call("GET", url(query), undefined, signal)) as ListPage;
    },
    async *watch(resourceVersion, signal) {
      const seconds = Math.round(WATCH_SECONDS * (1 + clock.random()));
      const query = {
        watch: "1",
        allowWatchBookmarks: "true",
        resourceVersion,
        timeoutSeconds: String(seconds),
      };
      const lines = client.lines(url(query), seconds * 1000 + WATCH_SLACK_MS, signal);
      for await (const line of lines) yield JSON.parse(line) as WatchLine;
    },
  };
}
