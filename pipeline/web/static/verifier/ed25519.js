/**
 * Ed25519 as docs/formats.md, section 2, has it: WebCrypto verifies, behind checks of our own that make every
 * implementation agree (RFC 8032, section 5.1; the points that libsodium refuses).
 */

import { compare, concat, hex } from "./bytes.js";
import { demand } from "./refused.js";

const P = (1n << 255n) - 19n;
const L = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n);
const IDENTITY = [0n, 1n, 1n, 0n];
const VALID_KEYS_MAX = 4096;
const validKeys = new Map();
const imported = new Map();

function mod(a) {
  const rest = a % P;
  return rest < 0n ? rest + P : rest;
}

function power(base, exponent) {
  let found = 1n;
  for (let square = mod(base), e = exponent; e > 0n; e >>= 1n, square = mod(square * square))
    if (e & 1n) found = mod(found * square);
  return found;
}

function littleEndian(raw) {
  return raw.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

/** Sum of two points in extended coordinates (RFC 8032, section 5.1.4). */
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * t1 * t2 * D);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function times(scalar, point) {
  let found = IDENTITY;
  for (let double = point, s = scalar; s > 0n; s >>= 1n, double = add(double, double))
    if (s & 1n) found = add(found, double);
  return found;
}

const isIdentity = ([x, y, z]) => mod(x) === 0n && mod(y - z) === 0n;

/** The point of 32 bytes in their one spelling, or null (RFC 8032, section 5.1.3). */
function pointOf(raw) {
  const number = littleEndian(raw);
  const sign = number >> 255n;
  const y = number & ((1n << 255n) - 1n);
  if (y >= P) return null;
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  const v3 = mod(v * v * v);
  let x = mod(u * v3 * power(u * v3 * v3 * v, (P - 5n) / 8n));
  const check = mod(v * x * x);
  if (check === mod(-u)) x = mod(x * ROOT_OF_MINUS_1);
  else if (check !== u) return null;
  if (x === 0n && sign === 1n) return null;
  if ((x & 1n) !== sign) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

/** Whether a key is a point in its one spelling, in the main subgroup, and not its identity. */
function isValidPoint(raw) {
  const point = pointOf(raw);
  return point !== null && !isIdentity(point) && isIdentity(times(L, point));
}

/** Check that a key may be enrolled or trusted. */
export function checkKey(raw) {
  demand(raw.length === 32, "key_invalid");
  const name = hex(raw);
  if (!validKeys.has(name)) {
    if (validKeys.size >= VALID_KEYS_MAX) validKeys.clear();
    validKeys.set(name, isValidPoint(raw));
  }
  demand(validKeys.get(name), "key_invalid");
}

async function cryptoKey(raw) {
  const name = hex(raw);
  if (!imported.has(name)) {
    if (imported.size >= VALID_KEYS_MAX) imported.clear();
    imported.set(name, await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]));
  }
  return imported.get(name);
}

/** Tell whether a signature by a checked key is valid; its scalar must be reduced, its point not the identity. */
export async function isSigned(publicKey, message, signature) {
  if (signature.length !== 64) return false;
  const r = signature.subarray(0, 32);
  if (littleEndian(signature.subarray(32)) >= L || isSmall(r)) return false;
  return crypto.subtle.verify("Ed25519", await cryptoKey(publicKey), signature, message);
}

/** Whether R is of small order: beside a key of the main subgroup that can only be the identity. */
function isSmall(raw) {
  const identity = new Uint8Array(32);
  identity[0] = 1;
  return compare(raw, identity) === 0;
}

/** Check an Ed25519 signature. */
export async function checkSignature(publicKey, message, signature, reason = "signature_invalid") {
  demand(await isSigned(publicKey, message, signature), reason);
}

/** What a COSE_Sign1 signs: its Sig_structure (RFC 9052, section 4.4). */
export function signedBytes(head, protectedHeader, payload) {
  const start = Uint8Array.of(0x84, 0x6a, ...new TextEncoder().encode("Signature1"));
  return concat(
    start,
    head(2, protectedHeader.length),
    protectedHeader,
    Uint8Array.of(0x40),
    head(2, payload.length),
    payload,
  );
}
