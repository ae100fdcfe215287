/** Checkpoints under a policy (docs/formats.md, section 8; C2SP tlog-checkpoint). */

import { fromBase64 } from "./bytes.js";
import { isOrigin } from "./names.js";
import { isBy, parseNote, verifyLine } from "./note.js";
import { demand } from "./refused.js";

const SIZE = /^(?:0|[1-9][0-9]{0,18})$/;
const SIZE_END = 1n << 63n;

/** Verify a checkpoint; returns origin, size (BigInt), root, the log's key, and each witness's earliest time. */
export async function openCheckpoint(note, policy) {
  const { text, signatures } = parseNote(note);
  const { origin, size, root } = parseHead(text);
  const signed = [];
  for (const line of signatures)
    for (const key of [...policy.logs, ...policy.witnesses.values()])
      if (isBy(key, line)) signed.push({ key, timeS: await verifyLine(key, text, line.value) });
  const logs = signed.map(({ key }) => key).filter((key) => policy.logs.includes(key));
  demand(logs.length > 0, "note_unsigned");
  const log = logs.find((key) => key.name === origin);
  demand(log, "checkpoint_origin");
  const times = new Map();
  for (const [name, witness] of policy.witnesses) {
    const own = signed.filter(({ key }) => key === witness).map(({ timeS }) => timeS);
    if (own.length > 0) times.set(name, Math.min(...own));
  }
  demand(policy.isQuorum(times.keys()), "quorum_missing");
  return { origin, size, root, log, times };
}

function parseHead(text) {
  const lines = text.split("\n");
  demand(lines.length === 4 && lines[3] === "", "checkpoint_shape");
  const root = fromBase64(lines[2], "checkpoint_shape");
  demand(isOrigin(lines[0]) && SIZE.test(lines[1]), "checkpoint_shape");
  const size = BigInt(lines[1]);
  demand(size < SIZE_END && root.length === 32, "checkpoint_shape");
  return { origin: lines[0], size, root };
}
