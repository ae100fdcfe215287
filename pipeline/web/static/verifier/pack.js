/** Packs of records: SenML in CBOR (docs/formats.md, section 4; RFC 8428, RFC 9100). */

import { decode, isInt, isNumber } from "./cbor.js";
import { QUANTITIES } from "./quantities.js";
import { demand } from "./refused.js";

const [BASE_VERSION, BASE_NAME, BASE_TIME, BASE_UNIT] = [-1n, -2n, -3n, -4n];
const [NAME, UNIT, VALUE, BOOLEAN, TIME] = [0n, 1n, 2n, 4n, 6n];
const LABELS = new Set([BASE_VERSION, BASE_NAME, BASE_TIME, BASE_UNIT, NAME, UNIT, VALUE, BOOLEAN, TIME]);
const UNITS = new Set([...QUANTITIES.values()].map((quantity) => quantity.unit));
const RECORDS_MAX = 256;
const [SECONDS_LEAST, SECONDS_END] = [2 ** 28, 2 ** 33];

/** The records of a pack, the first fault refused. */
export function resolvePack(payload, issuer) {
  const pack = decode(payload);
  demand(Array.isArray(pack) && pack.length >= 1 && pack.length <= RECORDS_MAX, "pack_shape");
  const base = { version: 10n, time: 0n, unit: undefined };
  const places = new Set();
  return pack.map((item, index) => {
    demand(item instanceof Map && [...item.keys()].every((key) => LABELS.has(key)), "pack_label");
    const version = item.has(BASE_VERSION) ? item.get(BASE_VERSION) : base.version;
    demand(isInt(version) && (version === 10n || version === 26n), "pack_version");
    demand(index === 0 || version === base.version, "pack_version");
    const named = item.get(BASE_NAME) === `${issuer}_`;
    demand((index > 0 && !item.has(BASE_NAME)) || named, "pack_base_name");
    demand(!item.has(BASE_UNIT) || UNITS.has(item.get(BASE_UNIT)), "pack_unit");
    base.version = version;
    if (item.has(BASE_TIME)) base.time = item.get(BASE_TIME);
    if (item.has(BASE_UNIT)) base.unit = item.get(BASE_UNIT);
    const record = resolve(item, base);
    const place = `${record.timeUs} ${record.quantity}`;
    demand(!places.has(place), "pack_duplicate");
    places.add(place);
    return record;
  });
}

function resolve(item, base) {
  const name = item.get(NAME);
  demand(typeof name === "string" && QUANTITIES.has(name), "pack_quantity");
  const quantity = QUANTITIES.get(name);
  demand((item.has(UNIT) ? item.get(UNIT) : base.unit) === quantity.unit, "pack_unit");
  demand(!quantity.secondary || base.version === 26n, "pack_version");
  const offset = item.has(TIME) ? item.get(TIME) : 0n;
  demand(isNumber(offset) && isNumber(base.time), "pack_time");
  const timeS = Number(base.time) + Number(offset);
  demand(timeS >= SECONDS_LEAST && timeS < SECONDS_END, "pack_time");
  const value = item.get(quantity.boolean ? BOOLEAN : VALUE);
  const good = quantity.boolean ? typeof value === "boolean" : isNumber(value);
  demand(good && !item.has(quantity.boolean ? VALUE : BOOLEAN), "pack_value");
  return { quantity: name, unit: quantity.unit, value: Number(value), timeS, timeUs: rounded(timeS * 1e6) };
}

/** The nearest integer, of two as near the even one: as IEEE 754 rounds. */
function rounded(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
