/** Policy routing rules by rtnetlink (fib_rules.h), for reading: VPNs steer with them. */
import { Prefix } from "../base/index.js";
import { type Message, MessageWriter, NLM_F_DUMP, parseAttributes, request, textOf } from "./netlink.js";
import { addressIn, check, familyOf } from "./rtnetlink.js";
import { AF_INET, AF_INET6 } from "./sockaddr.js";

const RTM_GETRULE = 34;
const FIB_RULE_HEADER_BYTES = 12;
const FIB_RULE_INVERT = 2;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const NO_SUPPRESSION = 0xffff_ffff;
const ACTIONS: Readonly<Record<number, string>> = {
  1: "lookup",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
};

export interface RuleInfo {
  family: 4 | 6;
  priority: number;
  /** `lookup` for a table; what it does instead. */
  action: string;
  table: number;
  /** Everything but what the following say. */
  not: boolean;
  from?: Prefix;
  to?: Prefix;
  mark?: number;
  mask?: number;
  iif?: string;
  oif?: string;
  /** Routes with prefixes of at most this length do not count. */
  suppressPrefixLength?: number;
}

/** Rules of both families, in the order in which the kernel looks at them. */
export function listRules(): RuleInfo[] {
  return [AF_INET, AF_INET6].flatMap(family => {
    // A dump asks with the family alone; the header's other fields are zero.
    const answer = request(() =>
      new MessageWriter(RTM_GETRULE, NLM_F_DUMP).u8(family).u8(0).u16(0).u32(0).u32(0),
    );
    return check("list routing rules", answer).flatMap(parseRule);
  });
}

function parseRule({ body }: Message): RuleInfo[] {
  const family = familyOf(body.getUint8(0));
  if (family === null) return [];
  const attributes = parseAttributes(body, FIB_RULE_HEADER_BYTES);
  const number = (type: number): number | undefined => attributes.get(type)?.getUint32(0, true);
  const text = (type: number): string | undefined => {
    const value = attributes.get(type);
    return value === undefined ? undefined : textOf(value);
  };
  const prefix = (type: number, bits: number): Prefix | undefined => {
    const value = attributes.get(type);
    return value === undefined ? undefined : new Prefix(addressIn(value, family), bits);
  };
  const suppress = number(FRA_SUPPRESS_PREFIXLEN);
  const found = {
    from: prefix(FRA_SRC, body.getUint8(2)),
    to: prefix(FRA_DST, body.getUint8(1)),
    mark: number(FRA_FWMARK),
    mask: number(FRA_FWMASK),
    iif: text(FRA_IIFNAME),
    oif: text(FRA_OIFNAME),
    suppressPrefixLength: suppress === NO_SUPPRESSION ? undefined : suppress,
  };
  const action = body.getUint8(7);
  return [
    {
      family,
      priority: number(FRA_PRIORITY) ?? 0,
      action: ACTIONS[action] ?? String(action),
      table: number(FRA_TABLE) ?? body.getUint8(4),
      not: (body.getUint32(8, true) & FIB_RULE_INVERT) !== 0,
      ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)),
    },
  ];
}
