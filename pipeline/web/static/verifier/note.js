/** Signed notes and verifier keys (docs/formats.md, section 8; C2SP signed-note, tlog-cosignature). */

import { concat, equal, fromBase64, hex, sha256, textOf, utf8 } from "./bytes.js";
import { checkKey, isSigned } from "./ed25519.js";
import { isOrigin } from "./names.js";
import { demand } from "./refused.js";

const NOTE_SIZE_MAX = 131_072;
const LINES_MAX = 64;
export const LOG = 1;
export const WITNESS = 4;
// eslint-disable-next-line no-control-regex -- controls are what it is about
const CONTROL = /[\x00-\x09\x0b-\x1f]/;
const TIME_END = 1n << 63n;

/** Parse a verifier key: name+id+base64. */
export async function parseVkey(text) {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  demand(first >= 0 && second >= 0, "note_key");
  const name = text.slice(0, first);
  const raw = fromBase64(text.slice(second + 1), "note_key");
  demand(isOrigin(name) && (raw[0] === LOG || raw[0] === WITNESS), "note_key");
  const id = (await sha256(concat(utf8(`${name}\n`), raw))).subarray(0, 4);
  demand(text.slice(first + 1, second) === hex(id), "note_key");
  const publicKey = raw.subarray(1);
  checkKey(publicKey);
  return { name, kind: raw[0], publicKey, id };
}

/** Text and signature lines of a note, none of them verified. */
export function parseNote(note) {
  demand(note.length <= NOTE_SIZE_MAX, "oversize");
  const whole = textOf(note, "note_shape");
  const end = whole.lastIndexOf("\n\n");
  demand(!CONTROL.test(whole) && end >= 0, "note_shape");
  const block = whole.slice(end + 2);
  demand(block.endsWith("\n"), "note_shape");
  const lines = block.slice(0, -1).split("\n");
  demand(lines.length <= LINES_MAX, "note_shape");
  const signatures = lines.map((line) => {
    const [dash, name, ...rest] = line.split(" ");
    demand(dash === "\u2014" && rest.length > 0 && isOrigin(name), "note_shape");
    const value = fromBase64(rest.join(" "), "note_shape");
    demand(value.length > 4, "note_shape");
    return { name, id: value.subarray(0, 4), value: value.subarray(4) };
  });
  return { text: whole.slice(0, end + 1), signatures };
}

export const isBy = (key, line) => key.name === line.name && equal(key.id, line.id);

/** Verify a signature line; returns the time of a cosignature, else 0. */
export async function verifyLine(key, text, value) {
  if (key.kind !== WITNESS) {
    demand(await isSigned(key.publicKey, utf8(text), value), "note_signature");
    return 0;
  }
  demand(value.length === 72, "note_signature");
  const timeS = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
  demand(timeS < TIME_END, "note_signature");
  const message = utf8(`cosignature/v1\ntime ${timeS}\n${text}`);
  demand(await isSigned(key.publicKey, message, value.subarray(8)), "note_signature");
  return Number(timeS);
}
