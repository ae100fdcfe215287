/** Keeps the verify page and its verifier, so that it opens and works with no network. */

const KEPT = "cityproof-verify-1";
const FILES = [
  "verify.html", "style.css", "icon.svg", "app.webmanifest", "pages/verify.js", "pages/words.js",
  ...["authorities", "block", "bytes", "cbor", "checkpoint", "ed25519", "key", "merkle", "names", "note", "pack", "point",
    "policy", "quantities", "reasons", "refused", "sign1", "stated", "statement"].map((name) => `verifier/${name}.js`),
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => names.filter((name) => name !== KEPT));
  event.waitUntil(old.then((names) => Promise.all(names.map((name) => caches.delete(name)))));
});

/** The network's answer where there is one, so that a new version is seen at once; else what is kept. */
self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  event.respondWith(fetch(event.request).catch(() => caches.match(event.request, { ignoreSearch: true })));
});
