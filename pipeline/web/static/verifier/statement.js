/** Statements: what devices, services and people sign (docs/formats.md, section 3; verification.md, Parsing). */

import { isBytes } from "./bytes.js";
import { hasKeys, isCounter } from "./cbor.js";
import { isDevice, isIssuer, isLabel } from "./names.js";
import { demand } from "./refused.js";
import { ALGORITHM, CHAIN, CLAIMS, CONTENT_TYPE, KEY_ID, openSign1, verifySign1 } from "./sign1.js";

export const SENML = 112n;
const TYPE = /^application\/vnd\.cityproof\.[a-z0-9]+(?:[.-][a-z0-9]+)*\+cbor$/;

/** Check a statement's form; neither its signature nor its payload. */
export function parseStatement(raw) {
  const sign1 = openSign1(raw, [ALGORITHM, CONTENT_TYPE, KEY_ID, CLAIMS, CHAIN]);
  const contentType = sign1.header.get(CONTENT_TYPE);
  if (typeof contentType === "string")
    demand(contentType.length <= 128 && TYPE.test(contentType), "statement_content_type");
  else demand(contentType === SENML, "statement_content_type");
  const kid = sign1.header.get(KEY_ID);
  demand(isBytes(kid, 8), "cose_header");
  const claims = sign1.header.get(CLAIMS);
  demand(hasKeys(claims, [1n, 2n]), "cose_header");
  const [issuer, subject] = [claims.get(1n), claims.get(2n)];
  demand(contentType === SENML ? isDevice(issuer) : isIssuer(issuer), "statement_issuer");
  demand(isLabel(subject), "statement_subject");
  const chain = sign1.header.get(CHAIN);
  demand(Array.isArray(chain) && chain.length === 3, "statement_chain");
  const [epoch, sequence, previous] = chain;
  demand(isCounter(epoch) && isCounter(sequence) && isBytes(previous, 32), "statement_chain");
  return { raw, sign1, contentType, kid, issuer, subject, epoch, sequence, previous };
}

/** Check a statement's signature. */
export function verifyStatement(statement, publicKey) {
  return verifySign1(statement.sign1, publicKey);
}
