/** Blocks: manifests, bodies, what the log signs of them, receipts (docs/formats.md, section 7). */

import { equal, isBytes, sha256 } from "./bytes.js";
import { decode, hasKeys, isCounter, isInt, range } from "./cbor.js";
import { rootFromPath } from "./merkle.js";
import { isOrigin } from "./names.js";
import { demand } from "./refused.js";
import {
  ALGORITHM, BLOCK, CLAIMS, claimsOf, CONTENT_TYPE, KEY_ID, openSign1, PROOFS, TREE, verifySign1,
} from "./sign1.js";

const BODY_SIZE_MAX = 1 << 20;
const LEAVES_MAX = 2048;
const REASON = /^[a-z][a-z0-9_]{0,63}$/;
const LABELS = [ALGORITHM, KEY_ID, CLAIMS, TREE, BLOCK];
const RFC9162_SHA256 = 1n;

export async function keyId(publicKey) {
  return (await sha256(publicKey)).subarray(0, 8);
}

/** The fields of a manifest. */
export function parseManifest(raw) {
  const fields = decode(raw);
  const shape = "manifest_shape";
  demand(hasKeys(fields, range(1, 11), [12n, 13n]), shape);
  const of = (key) => fields.get(BigInt(key));
  demand([1, 2, 7, 8].every((key) => isCounter(of(key))), shape);
  demand(isBytes(of(3), 32) && isBytes(of(10), 32) && isBytes(of(4), 16), shape);
  for (const pair of [of(5), of(6)]) {
    demand(Array.isArray(pair) && pair.length === 2 && pair.every(isCounter), shape);
    demand(pair[0] <= pair[1], shape);
  }
  demand(of(9) instanceof Map, shape);
  for (const [reason, count] of of(9))
    demand(typeof reason === "string" && REASON.test(reason) && isCounter(count) && count > 0n, shape);
  const registry = of(11);
  demand(Array.isArray(registry) && registry.length === 2, shape);
  demand(isCounter(registry[0]) && isBytes(registry[1], 32), shape);
  const equivocations = of(12) ?? [];
  if (fields.has(12n)) {
    demand(Array.isArray(equivocations) && equivocations.length > 0 && equivocations.every(isCounter), shape);
    demand(equivocations.every((leaf, i) => i === 0 || leaf > equivocations[i - 1]), shape);
    demand(equivocations[0] > 0n && equivocations.at(-1) <= of(7), shape);
  }
  demand(!fields.has(13n) || isBytes(of(13), 32), shape);
  return {
    shard: of(1), height: of(2), previous: of(3), arrivalMs: of(6), accepted: of(7), refused: of(9),
    registryBlocks: registry[0], registryRoot: registry[1], equivocations,
  };
}

/** The leaves of a body: each with its length before it, in 4 bytes. */
export function parseBody(body) {
  demand(body.length <= BODY_SIZE_MAX, "oversize");
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const leaves = [];
  for (let at = 0; at < body.length; ) {
    demand(at + 4 <= body.length && at + 4 + view.getUint32(at) <= body.length, "block_shape");
    const end = at + 4 + view.getUint32(at);
    leaves.push(body.subarray(at + 4, end));
    at = end;
  }
  demand(leaves.length >= 1 && leaves.length <= LEAVES_MAX, "block_shape");
  return leaves;
}

function parseBlockHeader(header) {
  const { kid, issuer: origin, subject } = claimsOf(header, isOrigin);
  demand(header.get(TREE) === RFC9162_SHA256, "cose_header");
  const place = header.get(BLOCK);
  demand(Array.isArray(place) && place.length === 4, "cose_header");
  const [shard, height, manifestHash, size] = place;
  demand([shard, height, size].every(isCounter) && isBytes(manifestHash, 32), "cose_header");
  demand(subject === `shard/${shard}/${height}` && size >= 1n && size <= BigInt(LEAVES_MAX), "block_shape");
  return { kid, origin, shard, height, manifestHash, size };
}

/** Parse a signed block, which is a log entry; its signature is not verified. */
export function parseSignedBlock(raw) {
  const sign1 = openSign1(raw, LABELS);
  const header = parseBlockHeader(sign1.header);
  demand(sign1.payload.length === 32, "block_shape");
  return { ...header, sign1, root: sign1.payload };
}

/** Check what the log signed. */
export async function verifyAsLog(kid, sign1, publicKey, payload = sign1.payload) {
  demand(equal(kid, await keyId(publicKey)), "key_unknown");
  await verifySign1(sign1, publicKey, payload);
}

/** The fields of a genesis by this log. */
export async function checkGenesis(raw, publicKey) {
  const sign1 = openSign1(raw, [ALGORITHM, CONTENT_TYPE, KEY_ID, CLAIMS]);
  const { kid, issuer: origin, subject } = claimsOf(sign1.header, isOrigin);
  const type = sign1.header.get(CONTENT_TYPE);
  demand(type === "application/vnd.cityproof.genesis+cbor" && subject === "genesis", "genesis_shape");
  const fields = decode(sign1.payload);
  demand(hasKeys(fields, range(1, 4)), "genesis_shape");
  demand(fields.get(1n) === origin && isCounter(fields.get(2n)) && fields.get(2n) >= 2n, "genesis_shape");
  demand(fields.get(3n) === 1n && isBytes(fields.get(4n), 32), "genesis_shape");
  await verifyAsLog(kid, sign1, publicKey);
  return { origin, shards: fields.get(2n), authoritiesHash: fields.get(4n) };
}

/** Shard, height and index of a statement that a receipt covers (RFC 9942). */
export async function checkReceipt(receipt, leafHash, origin, publicKey) {
  const sign1 = openSign1(receipt, LABELS, { detached: true });
  const header = parseBlockHeader(sign1.header);
  demand(hasKeys(sign1.unprotected, [PROOFS]), "cose_unprotected");
  const proofs = sign1.unprotected.get(PROOFS);
  demand(hasKeys(proofs, [-1n]), "cose_unprotected");
  const list = proofs.get(-1n);
  demand(Array.isArray(list) && list.length === 1 && isBytes(list[0]), "cose_unprotected");
  const proof = decode(list[0]);
  demand(Array.isArray(proof) && proof.length === 3, "receipt_shape");
  const [size, index, path] = proof;
  demand(isInt(size) && isInt(index) && Array.isArray(path) && path.length > 0, "receipt_shape");
  demand(path.every((sibling) => isBytes(sibling)), "receipt_shape");
  demand(size === header.size, "receipt_size");
  demand(header.origin === origin, "receipt_origin");
  const root = await rootFromPath(leafHash, index, size, path);
  await verifyAsLog(header.kid, sign1, publicKey, root);
  return { shard: header.shard, height: header.height, index };
}

