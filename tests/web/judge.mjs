/**
 * Puts proofs and signatures to the browser's verifier. Reads from standard input one JSON object:
 * {"policy": text, "authorities": text, "proofs": [hex, …], "signatures": [[key, message, signature], … in hex]}
 *
 * Prints {"proofs": [reason, "" where valid], "signatures": [reason, "" where valid]}.
 */

import { readFileSync } from "node:fs";

const VERIFIER = new URL("../../pipeline/web/static/verifier/", import.meta.url);
const load = (name) => import(new URL(`${name}.js`, VERIFIER));
const { fromHex, utf8 } = await load("bytes");
const { parsePolicy } = await load("policy");
const { parseAuthorities } = await load("authorities");
const { verifyPoint } = await load("point");
const { checkKey, checkSignature } = await load("ed25519");
const asked = JSON.parse(readFileSync(0, "utf8"));

async function reasonOf(check) {
  try {
    await check();
    return "";
  } catch (error) {
    return error.name === "RefusedError" ? error.reason : `${error.name}: ${error.message}`;
  }
}

const proofs = [];
if (asked.proofs) {
  const policy = await parsePolicy(utf8(asked.policy));
  const authorities = await parseAuthorities(utf8(asked.authorities));
  for (const raw of asked.proofs)
    proofs.push(await reasonOf(() => verifyPoint(fromHex(raw), policy, authorities)));
}
const signatures = [];
for (const [key, message, signature] of asked.signatures ?? [])
  signatures.push(
    await reasonOf(async () => {
      checkKey(fromHex(key));
      await checkSignature(fromHex(key), fromHex(message), fromHex(signature));
    }),
  );
console.log(JSON.stringify({ proofs, signatures }));
