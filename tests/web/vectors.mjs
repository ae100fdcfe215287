/**
 * Puts our vectors to the browser's verifier: node tests/web/vectors.mjs wire.json log.json registry.json
 *
 * Prints one line of JSON: by group what went otherwise than the vectors say, and how many checks there were.
 */

import { readFileSync } from "node:fs";

const VERIFIER = new URL("../../pipeline/web/static/verifier/", import.meta.url);
const load = (name) => import(new URL(`${name}.js`, VERIFIER));
const [bytes, cbor, names, pack, statement, stated, ed25519, block, merkle, policies, checkpoints, authorities, point] =
  await Promise.all(
    ["bytes", "cbor", "names", "pack", "statement", "stated", "ed25519", "block", "merkle", "policy", "checkpoint",
      "authorities", "point"].map(load),
  );
const { fromHex, hex, utf8 } = bytes;
const [wire, log, registry] = process.argv.slice(2, 5).map((path) => JSON.parse(readFileSync(path, "utf8")));
const wrong = {};
const counts = {};

async function reasonOf(check) {
  try {
    await check();
    return "";
  } catch (error) {
    if (error.name === "RefusedError") return error.reason;
    return `${error.name}: ${error.message}`;
  }
}

async function expect(group, name, check, reason) {
  wrong[group] ??= [];
  counts[group] = (counts[group] ?? 0) + 1;
  const found = await reasonOf(check);
  if (found !== (reason ?? "")) wrong[group].push(`${name}: ${found || "accepted"}, not ${reason || "accepted"}`);
}

function same(found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
}

for (const raw of wire.cbor.admitted) await expect("cbor", raw, () => cbor.decode(fromHex(raw)));
for (const { bytes: raw, reason } of wire.cbor.refused)
  await expect("cbor", raw, () => cbor.decode(fromHex(raw)), reason);

for (const pair of wire.keys.pairs)
  await expect("keys", pair.name, async () => {
    ed25519.checkKey(fromHex(pair.public_key));
    same(hex(await block.keyId(fromHex(pair.public_key))), pair.key_id);
  });
for (const key of wire.keys.refused) await expect("keys", key, () => ed25519.checkKey(fromHex(key)), "key_invalid");

for (const [list, is, holds] of [
  ["devices", "isDevice", true], ["no_devices", "isDevice", false],
  ["uris", "isIssuer", true], ["no_uris", "isIssuer", false],
])
  for (const name of wire.names[list]) await expect("names", name, () => same(names[is](name), holds));

for (const { bytes: raw, records } of [...wire.packs.written, ...wire.packs.admitted])
  await expect("packs", raw, () =>
    same(
      pack.resolvePack(fromHex(raw), wire.packs.issuer).map((record) => [
        record.quantity, record.unit, record.value, record.timeS, record.timeUs,
      ]),
      records.map((record) => [record.quantity, record.unit, record.value, record.time_s, record.time_us]),
    ));
for (const { bytes: raw, reason } of wire.packs.refused)
  await expect("packs", raw, () => pack.resolvePack(fromHex(raw), wire.packs.issuer), reason);

const deviceKey = fromHex(wire.keys.pairs[0].public_key);
async function checkStatement(raw) {
  const parsed = statement.parseStatement(raw);
  await statement.verifyStatement(parsed, deviceKey);
  return parsed;
}
for (const made of wire.statements.made)
  await expect("statements", made.bytes, async () => {
    const parsed = await checkStatement(fromHex(made.bytes));
    same([Number(parsed.epoch), Number(parsed.sequence)], [made.epoch, made.sequence]);
    same([parsed.issuer, parsed.subject], [made.issuer, made.subject]);
    same(hex(await merkle.hashLeaf(parsed.raw)), made.leaf_hash);
  });
for (const { bytes: raw, reason, changed } of wire.statements.refused)
  await expect("statements", changed, () => checkStatement(fromHex(raw)), reason);

for (const what of ["Enrolment", "Rotation", "Revocation", "Admission"]) {
  const cases = wire[`${what.toLowerCase()}s`];
  const parse = stated[`parse${what}`];
  for (const one of cases.admitted) await expect(what, one.bytes ?? one, () => parse(fromHex(one.bytes ?? one)));
  for (const { bytes: raw, reason } of cases.refused) await expect(what, raw, () => parse(fromHex(raw)), reason);
}

const logKey = fromHex(log.keys.log.public_key);
const verifyBlock = async (raw) => {
  const parsed = block.parseSignedBlock(raw);
  await block.verifyAsLog(parsed.kid, parsed.sign1, logKey);
  return parsed;
};
await expect("blocks", "genesis", () => block.checkGenesis(fromHex(log.genesis.bytes), logKey));
for (const { bytes: raw, name } of log.manifests)
  await expect("blocks", name, () => block.parseManifest(fromHex(raw)));
for (const one of log.blocks)
  await expect("blocks", `${one.statements} statements`, async () => {
    const leaves = block.parseBody(fromHex(one.body));
    const parsed = await verifyBlock(fromHex(one.signed_block));
    const hashes = await Promise.all(leaves.map(merkle.hashLeaf));
    same(hex(await merkle.rootOf(hashes)), hex(parsed.root));
    same(hex(hashes[0]), hex(parsed.manifestHash));
    for (const receipt of one.receipts) {
      const leaf = hashes[receipt.index];
      const place = await block.checkReceipt(fromHex(receipt.bytes), leaf, log.keys.log.origin, logKey);
      same([place.shard, place.height, place.index].map(Number), [3, 1, receipt.index]);
    }
  });

for (const { name, text, quorate, not_quorate: not } of log.policies)
  await expect("policies", name, async () => {
    const policy = await policies.parsePolicy(utf8(text));
    for (const some of quorate) same(policy.isQuorum(new Set(some)), true);
    for (const some of not) same(policy.isQuorum(new Set(some)), false);
  });
const everyone = [
  `log ${log.keys.log.vkey}`,
  ...log.keys.witnesses.map(({ name, vkey }) => `witness ${name} ${vkey}`),
  "quorum none\n",
].join("\n");
const policy = await policies.parsePolicy(utf8(everyone));
for (const one of log.checkpoints)
  await expect("checkpoints", one.size, async () => {
    const opened = await checkpoints.openCheckpoint(utf8(one.note), policy);
    same([Number(opened.size), hex(opened.root)], [one.size, one.root]);
    same(Object.fromEntries(opened.times), one.cosigned);
  });

const alone = await policies.parsePolicy(utf8(`log ${log.keys.log.vkey}\nquorum none\n`));
for (const { object, name, bytes: text, reason, leaf_hash: leaf } of log.refusals) {
  const raw = fromHex(text);
  const check = {
    manifest: () => block.parseManifest(raw),
    body: () => block.parseBody(raw),
    signed_block: () => verifyBlock(raw),
    receipt: () => block.checkReceipt(raw, fromHex(leaf), log.keys.log.origin, logKey),
    checkpoint: () => checkpoints.openCheckpoint(raw, alone),
    policy: () => policies.parsePolicy(raw),
  }[object];
  await expect("refusals", `${object}: ${name}`, check, reason);
}

const trusted = await policies.parsePolicy(utf8(registry.policy));
const known = await authorities.parseAuthorities(utf8(registry.authorities));
for (const { name, bytes: raw, reason } of registry.proofs)
  await expect("proofs", name, () => point.verifyPoint(fromHex(raw), trusted, known), reason);

console.log(JSON.stringify({ wrong, counts }));
