/** The page that verifies proofs: files in, verdicts out, step by step. No server is asked. */

import { parseAuthorities } from "../verifier/authorities.js";
import { anyTextOf, utf8 } from "../verifier/bytes.js";
import { verifyPoint } from "../verifier/point.js";
import { parsePolicy } from "../verifier/policy.js";
import { QUANTITIES } from "../verifier/quantities.js";
import { REASONS } from "../verifier/reasons.js";
import { chosenLanguage, speak, STEPS } from "./words.js";

const PROOF_SIZE_MAX = 1 << 20;
const TRUST = { policy: { parse: parsePolicy, sign: /^\s*(?:log|quorum)\s/m }, authorities: { parse: parseAuthorities, sign: /^\s*(?:authority|bound)\s/m } };

const trusted = {};
const dropped = [];
let words = speak(chosenLanguage());

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Which trust file a text is, if any: by what its lines begin with. */
function kindOf(raw) {
  const text = anyTextOf(raw);
  if (text.includes("\u0000")) return undefined;
  return Object.keys(TRUST).find((kind) => TRUST[kind].sign.test(text));
}

async function trust(kind, raw, name) {
  try {
    trusted[kind] = { name, parsed: await TRUST[kind].parse(raw) };
    localStorage.setItem(`cityproof.${kind}`, JSON.stringify([name, anyTextOf(raw)]));
  } catch (error) {
    trusted[kind] = { name, reason: error.reason ?? String(error) };
  }
}

async function restoreTrust() {
  for (const kind of Object.keys(TRUST)) {
    const stored = localStorage.getItem(`cityproof.${kind}`);
    if (stored === null) continue;
    const [name, text] = JSON.parse(stored);
    await trust(kind, utf8(text), name);
  }
}

function showTrust() {
  for (const kind of Object.keys(TRUST)) {
    const given = trusted[kind];
    const wrong = given?.reason ? `${given.name}: ${words.notTrust} (${given.reason})` : given?.name;
    document.getElementById(kind).textContent = wrong ?? words.missing;
  }
}

/** Take files: trust first, so that proofs that come along are judged by it. */
async function take(files) {
  const proofs = [];
  for (const file of files) {
    if (file.size > PROOF_SIZE_MAX) {
      proofs.push({ name: file.name, reason: "oversize" });
      continue;
    }
    const raw = new Uint8Array(await file.arrayBuffer());
    const kind = kindOf(raw);
    if (kind) await trust(kind, raw, file.name);
    else proofs.push({ name: file.name, raw });
  }
  dropped.unshift(...proofs);
  await judgeAll();
}

async function judgeAll() {
  showTrust();
  for (const one of dropped) await judge(one);
  document.getElementById("results").replaceChildren(...dropped.map(show));
}

async function judge(one) {
  const { policy, authorities } = trusted;
  one.steps = [];
  one.point = undefined;
  if (!one.raw) return;
  if (!policy?.parsed || !authorities?.parsed) {
    one.state = "waiting";
    return;
  }
  try {
    one.point = await verifyPoint(one.raw, policy.parsed, authorities.parsed, (step) => one.steps.push(step));
    one.state = "valid";
  } catch (error) {
    if (error.name !== "RefusedError") throw error;
    one.reason = error.reason;
    one.state = "invalid";
  }
}

function show(one) {
  const state = one.state ?? "invalid";
  const article = make("article", `result ${state}`);
  article.append(make("h3", "", one.name), make("p", "verdict", words[state]));
  if (state === "waiting") article.append(make("p", "", words.needTrust));
  if (state === "invalid") article.append(failure(one.reason));
  if (one.point) article.append(value(one.point.record), facts(one.point));
  if (one.steps.length > 0) article.append(steps(one, state));
  return article;
}

function failure(reason) {
  const line = make("p");
  line.append(make("code", "", reason), ` — ${REASONS.get(reason) ?? reason}`);
  return line;
}

function value(record) {
  const quantity = QUANTITIES.get(record.quantity);
  const shown = (record.value * quantity.shownFactor).toLocaleString(document.documentElement.lang, {
    maximumSignificantDigits: 7,
  });
  const line = make("p", "value", quantity.boolean ? String(Boolean(record.value)) : `${shown} ${quantity.shownUnit}`);
  line.prepend(make("small", "", `${quantity[document.documentElement.lang]} `));
  return line;
}

function facts(point) {
  const when = (ms) => `${new Date(ms).toLocaleString(document.documentElement.lang)} (${new Date(ms).toISOString()})`;
  const witnesses = [...point.checkpoint.times.keys()];
  const rows = [
    [words.measured, when(point.record.timeUs / 1000)],
    [words.device, point.issuer],
    [words.subject, point.subject],
    [words.area, point.key.area],
    [words.arrived, when(Number(point.arrivalMs[1]))],
    [words.enrolledBy, point.enrolledBy],
    [words.rotatedBy, point.rotatedBy.join(", ")],
    [words.admittedBy, point.admittedBy],
    [words.log, point.checkpoint.origin],
    [words.entry, `${point.entry} / ${point.checkpoint.size}`],
    [words.witnesses, witnesses.length > 0 ? `${words.witnessCount(witnesses.length)}: ${witnesses.join(", ")}` : words.none],
  ];
  const list = make("dl");
  for (const [name, text] of rows) if (text) list.append(make("dt", "", name), make("dd", "", text));
  return list;
}

/** The steps: those that were passed, the one that failed, those that were not reached. */
function steps(one, state) {
  const details = make("details");
  details.open = state === "invalid";
  details.append(make("summary", "", words.steps));
  const list = make("ol", "steps");
  const last = one.steps.at(-1);
  for (const step of STEPS) {
    const reached = one.steps.includes(step);
    const failed = state === "invalid" && step === last;
    list.append(make("li", failed ? "failed" : reached ? "done" : "unreached", words.step[step]));
  }
  details.append(list);
  return details;
}

function listen() {
  const drop = document.getElementById("drop");
  const input = document.getElementById("files");
  input.addEventListener("change", async () => {
    await take([...input.files]);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"])
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    await take([...event.dataTransfer.files]);
  });
  for (const button of document.querySelectorAll("[data-language]"))
    button.addEventListener("click", async () => {
      words = speak(button.dataset.language);
      await judgeAll();
    });
}

listen();
await restoreTrust();
showTrust();
if ("serviceWorker" in navigator) await navigator.serviceWorker.register("worker.js");
