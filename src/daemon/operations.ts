/**
 * The operations of `api/daemon.ts` that only change the state. A running daemon performs them and then
 * reconciles; without one the CLI performs them itself, under the same lock.
 */
import type { DaemonOperations, OperationName, Settings, SpaceSummary } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { isLabel, isPlainName, parseCredentialFile, parseRules } from "../catalog/index.js";
import { StateLock } from "./lock.js";
import { DEFAULT_RULES, loadState, type Space, type State, saveState, selectedSpace } from "./state.js";

export type StateOperation = Exclude<OperationName, "status" | "services" | "flows" | "metrics" | "stop">;

type StateOperations = {
  [Name in StateOperation]: (
    state: State,
    request: DaemonOperations[Name]["request"],
  ) => DaemonOperations[Name]["response"];
};

/** Each changes `state` or throws and leaves it as it was. Requests come from outside: fields are checked. */
export const stateOperations: StateOperations = {
  "space.add": (state, request) => {
    const credential = parseCredentialFile(text(request.credential, "credential"));
    const name = request.name === undefined ? credential.teamspace : text(request.name, "name");
    if (!isPlainName(name)) {
      throw new CzctlError(`"${name}" cannot be the name of a space`, {
        code: "SPACE_NAME_INVALID",
        category: "user",
        hint: "Use letters, digits, '.', '_' and '-'.",
      });
    }
    let space = state.spaces.find(known => known.name === name);
    if (space === undefined) {
      const fresh = { rules: DEFAULT_RULES, primaryNamespace: null, addresses: {}, lastHandshakeAt: 0 };
      space = { name, credential, ...fresh };
      state.spaces.push(space);
    } else if (space.credential.agent.publicKey === credential.agent.publicKey) {
      // A new invitation to the same agent: rules and addresses stay.
      space.credential = credential;
      space.lastHandshakeAt = 0;
    } else {
      throw new CzctlError(`there is already a space "${name}", with another agent`, {
        code: "SPACE_EXISTS",
        category: "user",
        hint: `Remove it with \`czctl space remove ${name}\`, or give the new one another name with --name.`,
      });
    }
    state.selected ??= name;
    return summary(state, space);
  },

  "space.list": state => state.spaces.map(space => summary(state, space)),

  "space.select": (state, request) => {
    const space = findSpace(state, text(request.name, "name"));
    state.selected = space.name;
    return summary(state, space);
  },

  "space.remove": (state, request) => {
    const space = findSpace(state, text(request.name, "name"));
    const removed = summary(state, space);
    state.spaces = state.spaces.filter(other => other !== space);
    if (state.selected === space.name) state.selected = null;
    return removed;
  },

  "consume.get": state => {
    const { name, rules } = selectedSpace(state);
    return { space: name, rules };
  },

  "consume.set": (state, request) => {
    const space = selectedSpace(state);
    const rules = text(request.rules, "rules");
    checkRules(rules);
    space.rules = rules;
    return { space: space.name, rules };
  },

  "primary-namespace.set": (state, { namespace }) => {
    const space = selectedSpace(state);
    if (namespace !== null && !isLabel(text(namespace, "namespace"))) {
      throw new CzctlError(`"${namespace}" is no namespace name`, {
        code: "NAMESPACE_INVALID",
        category: "user",
        hint: "Use lower-case letters, digits and '-'; `czctl services list` shows the namespaces.",
      });
    }
    space.primaryNamespace = namespace;
    return { space: space.name, namespace };
  },
};

/** Performs `name` in a process that is not the daemon. */
export async function performOffline<Name extends StateOperation>(
  settings: Settings,
  name: Name,
  request: DaemonOperations[Name]["request"],
): Promise<DaemonOperations[Name]["response"]> {
  const lock = await StateLock.take(settings.stateDir, 2_000);
  try {
    return performLocked(settings, name, request);
  } finally {
    lock.release();
  }
}

/** As `performOffline`, for who has the lock already. */
export function performLocked<Name extends StateOperation>(
  settings: Settings,
  name: Name,
  request: DaemonOperations[Name]["request"],
): DaemonOperations[Name]["response"] {
  const state = loadState(settings.stateDir);
  const before = JSON.stringify(state);
  const response = stateOperations[name](state, request);
  if (JSON.stringify(state) !== before) saveState(settings.stateDir, state);
  return response;
}

function checkRules(rules: string): void {
  const [first, ...others] = parseRules(rules).errors;
  if (first === undefined) return;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  throw new CzctlError(`rules, line ${first.line}: ${first.message}${more}`, {
    code: "RULES_INVALID",
    category: "config",
    hint: first.hint,
  });
}

function findSpace(state: State, name: string): Space {
  const space = state.spaces.find(known => known.name === name);
  if (space !== undefined) return space;
  const names = state.spaces.map(known => known.name).join(", ");
  throw new CzctlError(`there is no space "${name}"`, {
    code: "SPACE_NOT_FOUND",
    category: "user",
    hint: names === "" ? "Add one with `sudo czctl space add FILE`." : `There is: ${names}.`,
  });
}

function summary(state: State, { name, credential, primaryNamespace }: Space): SpaceSummary {
  const { device, agent } = credential;
  return { name, device, endpoint: agent.endpoint, selected: name === state.selected, primaryNamespace };
}

function text(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  throw new CzctlError(`bad request: ${field} must be text`, { code: "BAD_REQUEST", category: "user" });
}
