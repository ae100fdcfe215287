/** The authorities that someone trusts, and the log's bounds in time (docs/formats.md, section 10). */

import { equal, fromBase64, hex, sha256, textOf } from "./bytes.js";
import { keyId } from "./block.js";
import { checkKey } from "./ed25519.js";
import { isIssuer, SPACE } from "./names.js";
import { KINDS } from "./quantities.js";
import { demand, RefusedError } from "./refused.js";

const SIZE_MAX = 65_536;
const SHAPE = "authorities_shape";
const BOUNDS = ["registry_lag_s", "cosign_delay_s", "checkpoint_age_s"];
const WORDS = new RegExp(`[${SPACE}]+`);

/** Parse an authorities file. */
export async function parseAuthorities(raw) {
  demand(raw.length <= SIZE_MAX, "oversize");
  const text = textOf(raw, SHAPE);
  const found = { list: [], bounds: {}, hash: await sha256(raw) };
  for (const line of text.split("\n")) {
    const words = line.split("#")[0].split(WORDS).filter((word) => word !== "");
    if (words.length > 0) await takeLine(found, words);
  }
  demand(found.list.length > 0 && Object.keys(found.bounds).length === BOUNDS.length, SHAPE);
  return found;
}

async function takeLine(found, words) {
  if (words[0] === "authority" && words.length === 5) {
    const [, issuer, key, kinds, areas] = words;
    const publicKey = fromBase64(key, SHAPE);
    checkKey(publicKey);
    const [kindNames, areaNames] = [new Set(kinds.split(",")), new Set(areas.split(","))];
    demand(isIssuer(issuer) && [...kindNames].every((kind) => kind === "*" || KINDS.has(kind)), SHAPE);
    for (const names of [kindNames, areaNames])
      demand(!names.has("") && (!names.has("*") || names.size === 1), SHAPE);
    demand(!found.list.some((other) => equal(other.publicKey, publicKey)), SHAPE);
    found.list.push({ issuer, kid: await keyId(publicKey), publicKey, kinds: kindNames, areas: areaNames });
  } else if (words[0] === "bound" && words.length === 3) {
    const [, name, seconds] = words;
    demand(BOUNDS.includes(name) && !(name in found.bounds), SHAPE);
    demand(/^[0-9]{1,9}$/.test(seconds), SHAPE);
    found.bounds[name] = Number(seconds);
  } else throw new RefusedError(SHAPE);
}

/** The authority of a statement's issuer and key id, or undefined. */
export function authorityOf(authorities, statement) {
  const kid = hex(statement.kid);
  return authorities.list.find(({ issuer, kid: own }) => issuer === statement.issuer && hex(own) === kid);
}

/** Check that kind and area are the authority's. */
export function demandScope(authority, kind, area) {
  for (const [names, name] of [[authority.kinds, kind], [authority.areas, area]])
    demand(names.has("*") || names.has(name), "authority_scope");
}
