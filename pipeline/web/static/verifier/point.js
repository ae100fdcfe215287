/**
 * A point proof, from the record to the cosigned checkpoint (docs/formats.md, section 11; verification.md, A point
 * proof). The steps are those of the page, in its order, so that every verifier refuses for the same reason.
 */

import { demandScope } from "./authorities.js";
import { parseManifest, parseSignedBlock } from "./block.js";
import { equal, isBytes } from "./bytes.js";
import { decode, hasKeys, isCounter, isInt, range } from "./cbor.js";
import { openCheckpoint } from "./checkpoint.js";
import { admissionRecord, followKey, overOf, recordOf } from "./key.js";
import { demandIncluded, hashLeaf, parsePath } from "./merkle.js";
import { resolvePack } from "./pack.js";
import { demand } from "./refused.js";
import { parseStatement, SENML, verifyStatement } from "./statement.js";
import { checkStated } from "./stated.js";

const TYPE = "application/vnd.cityproof.proof+cbor";
const SIZE_MAX = 131_072;
const SHAPE = "proof_shape";

/**
 * Verify a point proof against a policy and authorities, as parsePolicy and parseAuthorities return them.
 *
 * `step` is called with the name of each step as it begins, so that a page can show how far it came.
 */
export async function verifyPoint(data, policy, authorities, step = () => {}) {
  step("proof");
  const proof = decode(data, SIZE_MAX);
  demand(hasKeys(proof, range(0, 9), range(10, 12)), SHAPE);
  const of = (key) => proof.get(BigInt(key));
  demand(of(0) === TYPE, SHAPE);
  demand([1, 4, 5, 7, 9].every((key) => isBytes(of(key))), SHAPE);
  demand(isInt(of(2)) && of(2) >= 0n, SHAPE);
  const [inBlock, inLog, inRegistry] = [3, 6, 8].map((key) => parsePath(of(key)));
  const { rotations, end, revocation, admission } = ofTheKey(proof);

  step("checkpoint");
  const checkpoint = await openCheckpoint(of(9), policy);

  step("log");
  demand(inLog.size === checkpoint.size, "size_order");
  await demandIncluded(of(5), inLog, checkpoint.root);

  step("manifest");
  const { block, manifest } = await checkManifest(of(4), of(5), checkpoint);
  for (const timeS of checkpoint.times.values()) {
    const latestMs = BigInt(timeS + authorities.bounds.cosign_delay_s) * 1000n;
    demand(manifest.arrivalMs[1] <= latestMs, "arrival_late");
  }

  step("block");
  demand(inBlock.size === manifest.accepted + 1n, "block_counts");
  await demandIncluded(of(1), inBlock, block.root);
  demand(!manifest.equivocations.includes(inBlock.index), "equivocation");

  step("key");
  const followed = await followKey(of(7), rotations, authorities);
  const key = { ...followed.key, end, revocation };

  step("registry");
  await demandRecorded(recordOf(key), inRegistry, manifest.registryRoot);
  demand(key.validFrom * 1000n <= manifest.arrivalMs[1], "key_not_yet_valid");

  step("statement");
  const statement = parseStatement(of(1));
  demand(statement.issuer === key.issuer && equal(statement.kid, key.kid), "proof_registry");
  await verifyStatement(statement, key.publicKey);

  step("span");
  const over = overOf(key, statement.epoch, statement.sequence);
  demand(over || !admission, SHAPE);
  if (over) demand(admission, over);
  const admittedBy = over ? await admit(admission, statement, key, manifest, authorities) : "";

  step("record");
  demand(statement.contentType === SENML, "statement_content_type");
  const records = resolvePack(statement.sign1.payload, statement.issuer);
  demand(of(2) < BigInt(records.length), "proof_record");
  return {
    record: records[Number(of(2))],
    issuer: statement.issuer,
    subject: statement.subject,
    enrolledBy: followed.enrolledBy,
    rotatedBy: followed.rotatedBy,
    admittedBy,
    key,
    shard: block.shard,
    height: block.height,
    arrivalMs: manifest.arrivalMs,
    entry: inLog.index,
    leaf: inBlock.index,
    checkpoint,
  };
}

/** Block and manifest of an entry of this log. */
async function checkManifest(raw, entry, checkpoint) {
  const block = parseSignedBlock(entry);
  demand(block.origin === checkpoint.origin, "checkpoint_origin");
  demand(equal(await hashLeaf(raw), block.manifestHash), "manifest_mismatch");
  const manifest = parseManifest(raw);
  demand(manifest.shard === block.shard && manifest.height === block.height, "block_height");
  return { block, manifest };
}

/** Rotations, end, revocation and admission, as far as they are there. */
function ofTheKey(proof) {
  const rotations = proof.has(10n) ? proof.get(10n) : [];
  if (proof.has(10n)) demand(Array.isArray(rotations) && rotations.length > 0 && rotations.every((raw) => isBytes(raw)), SHAPE);
  const status = proof.has(11n) ? proof.get(11n) : [[], new Uint8Array()];
  demand(Array.isArray(status) && status.length === 2, SHAPE);
  const [end, revocation] = status;
  demand(Array.isArray(end) && (end.length === 0 || end.length === 2) && end.every(isCounter), SHAPE);
  demand(isBytes(revocation) && (revocation.length === 0 || revocation.length === 32), SHAPE);
  demand(!proof.has(11n) || end.length > 0 || revocation.length > 0, SHAPE);
  if (!proof.has(12n)) return { rotations, end, revocation, admission: null };
  const admission = proof.get(12n);
  demand(Array.isArray(admission) && admission.length === 2 && isBytes(admission[0]), SHAPE);
  return { rotations, end, revocation, admission: { raw: admission[0], path: parsePath(admission[1]) } };
}

/** Check that an authority admitted a statement that the key alone does not cover; returns who. */
async function admit(admission, statement, key, manifest, authorities) {
  const stated = await checkStated(admission.raw, authorities);
  demand(stated.what === "admission", "statement_content_type");
  const leafHash = await hashLeaf(statement.raw);
  const { issuer, hashes } = stated.content;
  demand(issuer === statement.issuer && hashes.some((hash) => equal(hash, leafHash)), "proof_registry");
  demandScope(stated.authority, key.kind, key.area);
  const record = admissionRecord(statement.issuer, leafHash, stated.leafHash);
  await demandRecorded(record, admission.path, manifest.registryRoot);
  return stated.name;
}

/** Check that the registry of this root has a record: its tree has a power of two of leaves. */
async function demandRecorded(record, path, root) {
  demand(path.size === 1n << BigInt(path.hashes.length), "size_order");
  await demandIncluded(record, path, root);
}
