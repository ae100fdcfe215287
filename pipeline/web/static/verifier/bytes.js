/** Bytes as Uint8Array: joined, compared, hashed, read as text and base64. Nothing here is ours to define. */

import { demand, RefusedError } from "./refused.js";

const ENCODER = new TextEncoder();
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export const isBytes = (value, size) =>
  value instanceof Uint8Array && (size === undefined || value.length === size);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Order of bytes: negative, 0 or positive. */
export function compare(a, b) {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i += 1) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

export const equal = (a, b) => a.length === b.length && compare(a, b) === 0;

export const utf8 = (text) => ENCODER.encode(text);

/** Text of bytes that are UTF-8, or the refusal. */
export function textOf(raw, reason) {
  try {
    return STRICT.decode(raw);
  } catch {
    throw new RefusedError(reason);
  }
}

/** Text of bytes that may be anything: what is no UTF-8 stands as U+FFFD. */
export const anyTextOf = (raw) => LENIENT.decode(raw);

export const hex = (raw) => Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const fromHex = (text) =>
  Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));

export async function sha256(raw) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
}

/** Bytes of base64 that has one spelling only. */
export function fromBase64(text, reason) {
  demand(BASE64.test(text), reason);
  const binary = atob(text);
  demand(btoa(binary) === text, reason);
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export const toBase64 = (raw) => btoa(String.fromCharCode(...raw));

/** A number of 8 bytes, big end first. */
export function bytes8(number) {
  const raw = new Uint8Array(8);
  new DataView(raw.buffer).setBigUint64(0, BigInt(number));
  return raw;
}
