/** Names: of devices, other signers, logs and keys, and labels (docs/formats.md, sections 3 and 8). */

import { utf8 } from "./bytes.js";

const DEVICE = new RegExp(
  "^urn:dev:(?:(?:mac|ow):(?:[0-9a-f]{2})+" +
    "|(?:org|os):[1-9][0-9]*-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*" +
    "|ops:[1-9][0-9]*-[A-Za-z0-9.]+-[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)*" +
    "|(?!(?:mac|ow|org|os|ops):)[a-z][a-z0-9]*(?::[A-Za-z0-9.-]+)+)(?:_[A-Za-z0-9.-]+)*$",
);
const URI =
  /^(?!urn:dev:)[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/;
/** White space as Unicode has it; JavaScript's own \s counts U+FEFF and not U+0085. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const NO_ORIGIN = new RegExp(`[${SPACE}+\\x00-\\x1f]`);
// eslint-disable-next-line no-control-regex -- controls are what it is about
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

const isText = (name) => typeof name === "string";
/** How many characters a text has; a pair of surrogates is one. */
const length = (text) => Array.from(text).length;

export const isDevice = (name) => isText(name) && length(name) <= 128 && DEVICE.test(name);
export const isIssuer = (name) => isDevice(name) || (isText(name) && length(name) <= 128 && URI.test(name));

export function isLabel(text) {
  if (!isText(text)) return false;
  const size = utf8(text).length;
  return size >= 1 && size <= 128 && !CONTROL.test(text);
}

export function isOrigin(name) {
  if (!isText(name)) return false;
  const size = utf8(name).length;
  return size >= 1 && size <= 255 && !NO_ORIGIN.test(name);
}
