/** COSE_Sign1 as every signed object of ours is (docs/formats.md, section 3; RFC 9052). */

import { isBytes } from "./bytes.js";
import { decode, hasKeys, head, Tag18 } from "./cbor.js";
import { checkSignature, signedBytes } from "./ed25519.js";
import { demand } from "./refused.js";

export const ALGORITHM = 1n;
export const CONTENT_TYPE = 3n;
export const KEY_ID = 4n;
export const CLAIMS = 15n;
export const TREE = 395n;
export const PROOFS = 396n;
export const CHAIN = -70001n;
export const BLOCK = -70002n;
const ED25519 = -19n;

/** Parse a COSE_Sign1 whose protected header has exactly these labels. */
export function openSign1(raw, labels, { detached = false } = {}) {
  const tagged = decode(raw);
  demand(tagged instanceof Tag18, "cose_shape");
  demand(Array.isArray(tagged.content) && tagged.content.length === 4, "cose_shape");
  const [protectedHeader, unprotected, payload, signature] = tagged.content;
  demand(isBytes(protectedHeader) && unprotected instanceof Map, "cose_shape");
  demand(payload === null || isBytes(payload), "cose_shape");
  demand(isBytes(signature, 64), "cose_shape");
  demand((payload === null) === detached, "cose_payload");
  demand(detached || unprotected.size === 0, "cose_unprotected");
  const header = decode(protectedHeader);
  demand(header instanceof Map, "cose_header");
  demand(!header.has(ALGORITHM) || header.get(ALGORITHM) === ED25519, "cose_algorithm");
  demand(hasKeys(header, labels), "cose_header");
  return { protectedHeader, header, unprotected, payload: payload ?? new Uint8Array(), signature };
}

/** Check the signature over a COSE_Sign1, whose payload may be detached. */
export function verifySign1(sign1, publicKey, payload = sign1.payload) {
  return checkSignature(publicKey, signedBytes(head, sign1.protectedHeader, payload), sign1.signature);
}

/** Key id, issuer and subject of what the log signs, as the header claims them. */
export function claimsOf(header, isName) {
  const kid = header.get(KEY_ID);
  const claims = header.get(CLAIMS);
  demand(isBytes(kid, 8) && hasKeys(claims, [1n, 2n]), "cose_header");
  demand(isName(claims.get(1n)) && typeof claims.get(2n) === "string", "cose_header");
  return { kid, issuer: claims.get(1n), subject: claims.get(2n) };
}

