// The mesh as the console last told it: everything once, then what changed, twice a second.

import { useEffect, useState } from "./vendor/preact-htm.module.js";

const EMPTY = { mesh: {}, nodes: {}, edges: {}, hosts: {}, breakers: {}, proxies: {}, events: {} };

export const store = {
  state: EMPTY,
  about: { title: "mesh", editable: false, logs: false, interval: 0.5 },
  history: { bounds: [], steps: [], kept: 900, step: 2 },
  connected: false,
  met: false, // whether the console ever answered
  heardAt: 0, // performance.now() of the last message
  token: "",
  mayChange: false,
};
const readers = new Set();
let scheduled = false;

export function changed() {
  if (scheduled) return;
  scheduled = true;
  // Not requestAnimationFrame: a page in the background must not pile up work.
  setTimeout(() => { scheduled = false; for (const reader of readers) reader(); }, 0);
}

export function useStore() {
  const [, again] = useState(0);
  useEffect(() => {
    const reader = () => again((count) => count + 1);
    readers.add(reader);
    return () => readers.delete(reader);
  }, []);
  return store;
}

let source = null;

// A page that nobody sees asks for nothing, and leaves its connection to others: a browser has but six.
export function connect() {
  listen();
  addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);
}

function hush() {
  source?.close();
  source = null;
}

function listen() {
  if (source) return;
  source = new EventSource("/api/stream");
  source.addEventListener("full", (event) => {
    const told = JSON.parse(event.data);
    store.state = { ...EMPTY, ...told.state };
    store.about = told.about;
    heard();
    getJson("/api/history").then((history) => { store.history = history; changed(); }).catch(() => {});
  });
  source.addEventListener("delta", (event) => {
    const told = JSON.parse(event.data);
    const next = { ...store.state };
    for (const [section, entries] of Object.entries(told.state)) {
      const merged = { ...next[section] };
      for (const [name, entry] of Object.entries(entries)) {
        if (entry === null) delete merged[name]; else merged[name] = entry;
      }
      next[section] = merged;
    }
    store.state = next;
    if (told.step) addStep(told.step);
    heard();
  });
  source.onerror = () => { store.connected = false; changed(); };
}

function addStep(step) {
  const { steps, kept } = store.history;
  if (steps.length && step.at <= steps[steps.length - 1].at) return;
  steps.push(step);
  while (steps.length && steps[0].at < step.at - kept) steps.shift();
}

function heard() {
  store.connected = store.met = true;
  store.heardAt = performance.now();
  changed();
}

export async function getJson(path) {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (store.token) headers.Authorization = `Bearer ${store.token}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error || response.statusText), { status: response.status });
  return answer;
}

// The token stands behind the # of the address that the terminal prints; out of the address bar with it.
export async function takeToken(given) {
  const found = given ?? new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem("token", found);
    if (!given) history.replaceState(null, "", location.pathname + location.search);
  }
  store.token = sessionStorage.getItem("token") || "";
  store.mayChange = false;
  if (store.token) {
    const response = await fetch("/api/token", { headers: { Authorization: `Bearer ${store.token}` } });
    store.mayChange = response.ok && (await response.json()).valid;
  }
  changed();
  return store.mayChange;
}
