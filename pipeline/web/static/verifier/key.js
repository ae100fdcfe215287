/** A signer's key: how it was introduced, from where to where it holds, its record in the registry. */

import { bytes8, concat, utf8 } from "./bytes.js";
import { demandScope } from "./authorities.js";
import { keyId } from "./block.js";
import { byteString, head, textString } from "./cbor.js";
import { checkSignature } from "./ed25519.js";
import { demand } from "./refused.js";
import { checkStated } from "./stated.js";
import { equal } from "./bytes.js";

const NOTHING = new Uint8Array();

/** Whether a place, [epoch, sequence], lies before another. */
const isBefore = (a, b) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

const counters = (numbers) => concat(head(4, numbers.length), ...numbers.map((number) => head(0, number)));

/** The bytes of a key's record. */
export function recordOf(key) {
  return concat(
    Uint8Array.of(0x88),
    textString(key.issuer),
    byteString(key.kid),
    byteString(key.publicKey),
    byteString(key.introducedBy),
    head(0, key.validFrom),
    counters(key.start),
    counters(key.end),
    byteString(key.revocation),
  );
}

export const admissionRecord = (issuer, leafHash, introducedBy) =>
  concat(Uint8Array.of(0x83), textString(issuer), byteString(leafHash), byteString(introducedBy));

/** Why a key does not admit a statement at this place; empty if it does. */
export function overOf(key, epoch, sequence) {
  if (key.revocation.length > 0) return "key_revoked";
  const place = [epoch, sequence];
  const ended = key.end.length > 0 && !isBefore(place, key.end);
  return ended || isBefore(place, key.start) ? "key_span" : "";
}

function possessionInput(authority, issuer, publicKey) {
  return concat(utf8(`cityproof/possession/v1\n${authority}\n${issuer}\n`), publicKey);
}

function rotationInput(authority, { issuer, publicKey, start }) {
  const text = utf8(`cityproof/rotation/v1\n${authority}\n${issuer}\n`);
  return concat(text, publicKey, ...start.map(bytes8));
}

/** Check an enrolment; returns its key. */
export async function enrolled(stated) {
  demand(stated.what === "enrolment", "statement_content_type");
  const { issuer, publicKey, kind, area, validFrom, possession, fields } = stated.content;
  demandScope(stated.authority, kind, area);
  const message = possessionInput(stated.name, issuer, publicKey);
  await checkSignature(publicKey, message, possession, "possession_invalid");
  return {
    issuer, kind, area, enrolment: fields, publicKey, kid: await keyId(publicKey),
    introducedBy: stated.leafHash, validFrom, start: [0n, 0n], end: [], revocation: NOTHING,
  };
}

/** Check a rotation of a key, which nothing forbids; returns the new key. */
export async function rotated(stated, old) {
  const { issuer, publicKey, start, signature, possession, validFrom } = stated.content;
  demand(isBefore(old.start, start), "key_span");
  const message = rotationInput(stated.name, stated.content);
  await checkSignature(old.publicKey, message, signature, "rotation_signature");
  const possessed = possessionInput(stated.name, issuer, publicKey);
  await checkSignature(publicKey, possessed, possession, "possession_invalid");
  return {
    ...old, publicKey, kid: await keyId(publicKey), introducedBy: stated.leafHash, validFrom, start, end: [],
    revocation: NOTHING,
  };
}

/** A signer's key after these rotations, who enrolled it, and who rotated it. */
export async function followKey(enrolment, rotations, authorities) {
  const stated = await checkStated(enrolment, authorities);
  let key = await enrolled(stated);
  const rotatedBy = [];
  for (const raw of rotations) {
    const rotation = await checkStated(raw, authorities);
    demand(rotation.what === "rotation", "statement_content_type");
    const { issuer, oldKid } = rotation.content;
    demand(issuer === key.issuer && equal(oldKid, key.kid), "proof_registry");
    demandScope(rotation.authority, key.kind, key.area);
    key = await rotated(rotation, key);
    rotatedBy.push(rotation.name);
  }
  return { key, enrolledBy: stated.name, rotatedBy };
}
