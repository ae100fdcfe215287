/** Trees (docs/formats.md, section 7; RFC 9162, section 2.1). */

import { concat, equal, sha256 } from "./bytes.js";
import { demand } from "./refused.js";

export const hashLeaf = (leaf) => sha256(concat(Uint8Array.of(0), leaf));
const hashNode = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

function bitLength(number) {
  return number === 0n ? 0 : number.toString(2).length;
}

function bitCount(number) {
  return number.toString(2).replaceAll("0", "").length;
}

/** The root that a path leads to; index and size are BigInt. */
export async function rootFromPath(leafHash, index, size, path) {
  demand(leafHash.length === 32 && path.every((sibling) => sibling.length === 32), "hash_size");
  demand(index >= 0n && index < size, "index_outside");
  const inner = bitLength(index ^ (size - 1n));
  const border = bitCount(index >> BigInt(inner));
  demand(path.length <= inner + border, "path_long");
  demand(path.length >= inner + border, "path_short");
  let node = leafHash;
  for (const [place, sibling] of path.entries()) {
    const left = place >= inner || (index >> BigInt(place)) & 1n;
    node = await (left ? hashNode(sibling, node) : hashNode(node, sibling));
  }
  return node;
}

/** The root over leaf hashes, by definition. */
export async function rootOf(leafHashes) {
  if (leafHashes.length < 2) return leafHashes[0] ?? sha256(new Uint8Array());
  const split = 2 ** (bitLength(BigInt(leafHashes.length - 1)) - 1);
  return hashNode(await rootOf(leafHashes.slice(0, split)), await rootOf(leafHashes.slice(split)));
}

/** A path out of CBOR: [index, size, hashes]. */
export function parsePath(item) {
  demand(Array.isArray(item) && item.length === 3, "proof_shape");
  const [index, size, hashes] = item;
  demand(typeof index === "bigint" && typeof size === "bigint" && Array.isArray(hashes), "proof_shape");
  demand(hashes.every((sibling) => sibling instanceof Uint8Array), "proof_shape");
  return { index, size, hashes };
}

/** Check that a leaf is in the tree of this root. */
export async function demandIncluded(leaf, path, root) {
  const found = await rootFromPath(await hashLeaf(leaf), path.index, path.size, path.hashes);
  demand(equal(found, root), "root_mismatch");
}
