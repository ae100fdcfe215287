/** The policy that someone trusts: logs, witnesses, groups, a quorum (docs/formats.md, section 10). */

import { anyTextOf, hex } from "./bytes.js";
import { LOG, parseVkey, WITNESS } from "./note.js";
import { demand, RefusedError } from "./refused.js";

const SIZE_MAX = 65_536;
const SHAPE = "policy_shape";
// eslint-disable-next-line no-control-regex -- controls are what it is about
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/;
const COUNT = /^[1-9][0-9]*$/;

class Policy {
  constructor() {
    this.logs = [];
    this.witnesses = new Map();
    this.groups = new Map();
    this.quorum = "";
  }

  /** Tell whether these witnesses, by their names here, suffice. */
  isQuorum(cosigned) {
    const met = new Set([...cosigned].filter((name) => this.witnesses.has(name)));
    for (const [name, { needed, members }] of this.groups)
      if (members.filter((member) => met.has(member)).length >= needed) met.add(name);
    return this.quorum === "none" || met.has(this.quorum);
  }
}

/** Parse a policy file. */
export async function parsePolicy(raw) {
  demand(raw.length <= SIZE_MAX, "oversize");
  const text = anyTextOf(raw);
  demand(!CONTROL.test(text) && text.endsWith("\n"), SHAPE);
  const policy = new Policy();
  const grouped = new Set();
  for (const line of text.split("\n")) {
    const words = line.split(/[ \t]+/).filter((word) => word !== "");
    if (words.length > 0 && !words[0].startsWith("#")) await takeLine(policy, grouped, words);
  }
  demand(policy.quorum, SHAPE);
  return policy;
}

async function takeLine(policy, grouped, words) {
  const [what, name, ...rest] = words;
  const isDefined = (other) => policy.witnesses.has(other) || policy.groups.has(other);
  if (what === "log" && words.length >= 2 && words.length <= 3) {
    const key = await parseVkey(name);
    demand(key.kind === LOG && isNew(policy, key, policy.logs), SHAPE);
    policy.logs.push(key);
  } else if (what === "witness" && words.length >= 3 && words.length <= 4) {
    demand(name !== "none" && !isDefined(name), SHAPE);
    const key = await parseVkey(rest[0]);
    demand(key.kind === WITNESS && isNew(policy, key, [...policy.witnesses.values()]), SHAPE);
    policy.witnesses.set(name, key);
  } else if (what === "group" && words.length >= 4) {
    const [count, ...members] = rest;
    demand(name !== "none" && !isDefined(name), SHAPE);
    demand(members.every(isDefined) && new Set(members).size === members.length, SHAPE);
    demand(!members.some((member) => grouped.has(member)), SHAPE);
    for (const member of members) grouped.add(member);
    const few = COUNT.test(count) && BigInt(count) <= BigInt(members.length);
    demand(count === "all" || count === "any" || few, SHAPE);
    policy.groups.set(name, { needed: { all: members.length, any: 1 }[count] ?? Number(count), members });
  } else if (what === "quorum" && words.length === 2) {
    demand(!policy.quorum && (name === "none" || isDefined(name)), SHAPE);
    policy.quorum = name;
  } else throw new RefusedError(SHAPE);
}

/** Whether no key of its kind is this one, and none at all has its name and id. */
function isNew(policy, key, ofItsKind) {
  const known = [...policy.logs, ...policy.witnesses.values()];
  const sameKey = ofItsKind.some((other) => hex(other.publicKey) === hex(key.publicKey));
  return !sameKey && !known.some((other) => other.name === key.name && hex(other.id) === hex(key.id));
}
