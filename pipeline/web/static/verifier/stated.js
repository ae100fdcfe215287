/** What authorities state of keys (docs/formats.md, section 5; verification.md, What authorities state). */

import { compare, isBytes } from "./bytes.js";
import { authorityOf } from "./authorities.js";
import { decode, hasKeys, isCounter, isInt, isNumber, range } from "./cbor.js";
import { checkKey } from "./ed25519.js";
import { hashLeaf } from "./merkle.js";
import { isIssuer, isLabel } from "./names.js";
import { KINDS, QUANTITIES, SENSORS } from "./quantities.js";
import { demand } from "./refused.js";
import { parseStatement, verifyStatement } from "./statement.js";

const TIME_END = 1n << 33n;
const isTime = (value) => isInt(value) && value >= 0n && value < TIME_END;
const abs = (value) => Math.abs(Number(value));

function isPosition(value) {
  if (!Array.isArray(value) || value.length !== 3 || !value.every(isNumber)) return false;
  return abs(value[0]) <= 180 && abs(value[1]) <= 90 && abs(value[2]) <= 10_000;
}

/** The fields of an enrolment. */
export function parseEnrolment(payload) {
  const shape = "enrolment_shape";
  const fields = decode(payload);
  demand(fields instanceof Map, shape);
  const kind = fields.get(6n);
  demand(typeof kind === "string" && KINDS.has(kind), shape);
  const sensor = SENSORS.has(kind);
  const left = sensor ? [10n] : [9n, 10n, 11n, 12n];
  const needed = range(1, 15).filter((key) => !left.includes(key));
  demand(hasKeys(fields, needed, sensor ? [10n] : [10n]), shape);
  demand(isIssuer(fields.get(1n)), shape);
  demand([3n, 4n, 5n, 7n, 8n].every((key) => isLabel(fields.get(key))), shape);
  demand(fields.get(13n) === "device" || fields.get(13n) === "imported", shape);
  demand([12n, 14n].every((key) => !fields.has(key) || isTime(fields.get(key))), shape);
  demand(isBytes(fields.get(15n), 64), shape);
  demand([9n, 10n].every((key) => !fields.has(key) || isPosition(fields.get(key))), shape);
  const accuracy = fields.has(11n) ? fields.get(11n) : new Map();
  demand(accuracy instanceof Map, shape);
  for (const [name, width] of accuracy) {
    demand(typeof name === "string" && QUANTITIES.get(name)?.kinds.includes(kind), shape);
    demand(isNumber(width) && width >= 0, shape);
  }
  demand(isBytes(fields.get(2n)), shape);
  checkKey(fields.get(2n));
  return {
    issuer: fields.get(1n), publicKey: fields.get(2n), kind, area: fields.get(8n), validFrom: fields.get(14n),
    possession: fields.get(15n), fields,
  };
}

/** The fields of a rotation. */
export function parseRotation(payload) {
  const shape = "rotation_shape";
  const fields = decode(payload);
  demand(hasKeys(fields, range(1, 7)), shape);
  const [issuer, oldKid, publicKey, start, signature, possession, validFrom] = range(1, 7).map((key) =>
    fields.get(key),
  );
  demand(isIssuer(issuer) && isBytes(oldKid, 8) && isBytes(publicKey), shape);
  demand(Array.isArray(start) && start.length === 2 && start.every(isCounter), shape);
  demand(isBytes(signature, 64) && isBytes(possession, 64) && isTime(validFrom), shape);
  checkKey(publicKey);
  return { issuer, oldKid, publicKey, start, signature, possession, validFrom };
}

/** The fields of a revocation. */
export function parseRevocation(payload) {
  const shape = "revocation_shape";
  const fields = decode(payload);
  demand(hasKeys(fields, range(1, 3)), shape);
  demand(isIssuer(fields.get(1n)) && isBytes(fields.get(2n), 8) && isLabel(fields.get(3n)), shape);
  return { issuer: fields.get(1n), kid: fields.get(2n) };
}

/** The fields of an admission. */
export function parseAdmission(payload) {
  const shape = "admission_shape";
  const fields = decode(payload);
  demand(hasKeys(fields, range(1, 3)), shape);
  demand(isIssuer(fields.get(1n)) && isLabel(fields.get(3n)), shape);
  const hashes = fields.get(2n);
  demand(Array.isArray(hashes) && hashes.length > 0 && hashes.every((hash) => isBytes(hash, 32)), shape);
  demand(hashes.every((hash, i) => i === 0 || compare(hash, hashes[i - 1]) > 0), shape);
  return { issuer: fields.get(1n), hashes };
}

const PARSERS = { enrolment: parseEnrolment, rotation: parseRotation, revocation: parseRevocation, admission: parseAdmission };
const TYPES = new Map(
  Object.keys(PARSERS).map((what) => [`application/vnd.cityproof.${what}+cbor`, what]),
);

/** Check an authority's statement by itself: steps 3 to 7 of shard 0. */
export async function checkStated(raw, authorities) {
  const statement = parseStatement(raw);
  const authority = authorityOf(authorities, statement);
  demand(authority, "authority_unknown");
  await verifyStatement(statement, authority.publicKey);
  const what = TYPES.get(statement.contentType);
  demand(what, "statement_content_type");
  const content = PARSERS[what](statement.sign1.payload);
  demand(statement.subject === content.issuer, "statement_subject");
  return { what, content, authority, name: statement.issuer, leafHash: await hashLeaf(raw) };
}
