/**
 * The CBOR profile of docs/formats.md, section 1: one spelling for every value.
 *
 * Integers are BigInt, floats are Number, so that 5 and 5.0 stay two things; maps are Map with keys in order.
 */

import { compare, equal, textOf, utf8 } from "./bytes.js";
import { demand, RefusedError } from "./refused.js";

const DEPTH_MAX = 8;
const STATEMENT_SIZE_MAX = 16_384;
export const COUNTER_MAX = (1n << 53n) - 1n;

/** What stands behind the one tag there is. */
export class Tag18 {
  constructor(content) {
    this.content = content;
  }
}

class Reader {
  constructor(data) {
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.at = 0;
  }

  /** The item's major type, its additional information and its argument. */
  head() {
    const start = this.at;
    demand(start < this.data.length, "cbor_truncated");
    const major = this.data[start] >> 5;
    const info = this.data[start] & 31;
    this.at += 1;
    if (info < 24 || (major === 7 && info <= 27)) return [major, info, BigInt(info)];
    demand(!(info === 31 && major >= 2 && major <= 5), "cbor_indefinite");
    demand(info <= 27, "cbor_reserved");
    const size = 1 << (info - 24);
    demand(this.at + size <= this.data.length, "cbor_truncated");
    let argument = 0n;
    for (let i = 0; i < size; i += 1) argument = (argument << 8n) | BigInt(this.data[this.at + i]);
    this.at += size;
    demand(argument >= (size === 1 ? 24n : 1n << BigInt(4 * size)), "cbor_not_shortest");
    return [major, info, argument];
  }

  /** The next item; `key` where a map's key stands, `nullable` where null may stand. */
  item(depth, { key = false, nullable = false } = {}) {
    const start = this.at;
    const [major, info, argument] = this.head();
    if (major === 7) {
      const value = this.simple(info, nullable);
      demand(!key, "cbor_key_type");
      return value;
    }
    if (major < 2) return major === 0 ? argument : -1n - argument;
    if (major < 4) {
      demand(argument <= BigInt(this.data.length - this.at), "cbor_truncated");
      const raw = this.data.subarray(this.at, this.at + Number(argument));
      this.at += raw.length;
      return major === 2 ? raw : textOf(raw, "cbor_text");
    }
    demand(!key, "cbor_key_type");
    if (major === 6) {
      demand(this.data[start] === 0xd2 && start === 0, "cbor_tag");
      return new Tag18(this.data[1] === 0x84 ? this.sign1() : this.item(depth));
    }
    const items = major === 4 ? argument : 2n * argument;
    demand(items <= BigInt(this.data.length - this.at), "cbor_truncated");
    demand(depth < DEPTH_MAX, "cbor_depth");
    return major === 4 ? this.array(Number(argument), depth + 1) : this.map(Number(argument), depth + 1);
  }

  /** The array of four behind the tag, in which null may stand third. */
  sign1() {
    const items = this.head()[2];
    demand(items <= BigInt(this.data.length - this.at), "cbor_truncated");
    return Array.from({ length: Number(items) }, (_, place) => this.item(1, { nullable: place === 2 }));
  }

  array(items, depth) {
    const found = [];
    for (let i = 0; i < items; i += 1) found.push(this.item(depth));
    return found;
  }

  map(pairs, depth) {
    const found = new Map();
    let last = new Uint8Array();
    for (let i = 0; i < pairs; i += 1) {
      const start = this.at;
      const key = this.item(depth, { key: true });
      const encoded = this.data.subarray(start, this.at);
      demand(!equal(encoded, last), "cbor_key_duplicate");
      demand(compare(encoded, last) > 0, "cbor_key_order");
      last = encoded;
      found.set(key, this.item(depth));
    }
    return found;
  }

  simple(info, nullable) {
    if (info >= 25 && info <= 27) {
      const size = 1 << (info - 24);
      demand(this.at + size <= this.data.length, "cbor_truncated");
      const value = this.float(size);
      this.at += size;
      demand(Number.isFinite(value), "cbor_float");
      return value;
    }
    if (info === 20 || info === 21) return info === 21;
    if (info === 22 && nullable) return null;
    demand(info !== 24 || this.at < this.data.length, "cbor_truncated");
    throw new RefusedError("cbor_simple");
  }

  float(size) {
    if (size === 8) return this.view.getFloat64(this.at);
    if (size === 4) return this.view.getFloat32(this.at);
    const half = this.view.getUint16(this.at);
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  }
}

/** The value of one item of the profile. */
export function decode(data, sizeMax = STATEMENT_SIZE_MAX) {
  demand(data.length <= sizeMax, "oversize");
  const reader = new Reader(data);
  const value = reader.item(0);
  demand(reader.at === data.length, "cbor_trailing");
  return value;
}

/** The shortest head of a major type and a number that is not negative. */
export function head(major, number) {
  const n = BigInt(number);
  if (n < 24n) return Uint8Array.of((major << 5) | Number(n));
  const power = [0, 1, 2, 3].find((p) => n < 1n << BigInt(8 << p));
  const raw = new Uint8Array(1 + (1 << power));
  raw[0] = (major << 5) | (24 + power);
  for (let i = raw.length - 1, rest = n; i > 0; i -= 1, rest >>= 8n) raw[i] = Number(rest & 255n);
  return raw;
}

export const byteString = (raw) => Uint8Array.from([...head(2, raw.length), ...raw]);

export function textString(text) {
  const raw = utf8(text);
  return Uint8Array.from([...head(3, raw.length), ...raw]);
}

export const isInt = (value) => typeof value === "bigint";
export const isCounter = (value) => typeof value === "bigint" && value >= 0n && value <= COUNTER_MAX;
export const isNumber = (value) => typeof value === "bigint" || typeof value === "number";

/** Whether a map's keys are all of `required`, and beyond these none but of `optional`. */
export function hasKeys(map, required, optional = []) {
  if (!(map instanceof Map)) return false;
  const allowed = new Set([...required, ...optional]);
  return required.every((key) => map.has(key)) && [...map.keys()].every((key) => allowed.has(key));
}

/** The integers from `first` to `last` as CBOR has them. */
export const range = (first, last) =>
  Array.from({ length: last - first + 1 }, (_, i) => BigInt(first + i));
