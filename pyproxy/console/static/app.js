// The console's page: which view is shown, the filter, the keyboard.

import { html, render, useEffect, useRef, useState } from "./vendor/preact-htm.module.js";
import { Documents } from "./documents.js";
import { Explain } from "./explain.js";
import { FLAGS, OUTCOMES, bytes, clock, ms, percent, rate } from "./format.js";
import { Graph } from "./graph.js";
import { Latency } from "./latency.js";
import { changed, connect, store, takeToken, useStore } from "./store.js";
import { Breakers, Empty, Events, Hosts, Proxies } from "./tables.js";

const VIEWS = [["mesh", "Mesh"], ["hosts", "Hosts"], ["breakers", "Breakers"], ["latency", "Latency"], ["events", "Events"], ["documents", "Documents"], ["explain", "Explain"]];
const KEYS = [["1 … 7", "views"], ["/", "filter"], ["t", "only trouble"], ["space", "pause and go on"], ["p", "projector: large type"], ["d", "dark or light"], ["m", "moving dots"], ["Tab, Enter", "walk the graph, choose"], ["Esc", "let go"], ["?", "this"]];

const MOST = 6; // of what fails, in the list beside the graph

const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private windows may refuse */ } };
const viewInAddress = () => (VIEWS.find(([id]) => `#${id}` === location.hash) || VIEWS[0])[0];

function App() {
  useStore();
  const [view, setView] = useState(viewInAddress);
  const [filter, setFilter] = useState("");
  const [onlyTrouble, setOnlyTrouble] = useState(false);
  const [selected, setSelected] = useState("");
  const [help, setHelp] = useState(false);
  const [moving, setMoving] = useState(() => !matchMedia("(prefers-reduced-motion: reduce)").matches);
  const [frozen, setFrozen] = useState(null);
  const [, again] = useState(0);
  const filterBox = useRef(null);
  const show = (id) => { setView(id); history.replaceState(null, "", `#${id}`); };
  const pause = () => setFrozen((now) => (now ? null : { state: store.state, history: { ...store.history, steps: [...store.history.steps] } }));
  const project = () => { const root = document.documentElement; const on = !root.dataset.projector; if (on) root.dataset.projector = "on"; else delete root.dataset.projector; keep("projector", on ? "on" : "off"); again((n) => n + 1); };
  const theme = () => { const root = document.documentElement; root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; keep("theme", root.dataset.theme); again((n) => n + 1); };

  useEffect(() => {
    const onHash = () => setView(viewInAddress());
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") { setHelp(false); setSelected(""); document.activeElement?.blur(); return; }
      if (event.target.closest("input, textarea, select")) return;
      const act = { "/": () => filterBox.current.focus(), t: () => setOnlyTrouble((on) => !on), " ": pause, p: project, d: theme, m: () => setMoving((on) => !on), "?": () => setHelp((on) => !on) }[event.key]
        || (VIEWS[+event.key - 1] && (() => show(VIEWS[+event.key - 1][0])));
      if (act && !(event.key === " " && event.target.closest("button, summary, a"))) { event.preventDefault(); act(); }
    };
    addEventListener("hashchange", onHash);
    addEventListener("keydown", onKey);
    return () => { removeEventListener("hashchange", onHash); removeEventListener("keydown", onKey); };
  }, []);
  useEffect(() => document.getElementById(`tab-${view}`).scrollIntoView({ block: "nearest", inline: "nearest" }), [view]); // on a phone the tabs are wider than the screen
  useEffect(() => { document.title = `${store.about.title} · pyproxy console`; });

  const state = frozen ? frozen.state : store.state, past = frozen ? frozen.history : store.history;
  const mesh = state.mesh.now;
  const wanted = filter.trim().toLowerCase();
  return html`
    <header class="top">
      <h1>${store.about.title === "mesh" ? "pyproxy" : store.about.title}</h1>
      <dl class="sum" aria-label="The mesh as a whole">${mesh && html`
        <div><dt>requests</dt><dd>${rate(mesh.rps)}/s</dd></div>
        <div class=${mesh.errors ? "bad" : ""}><dt>errors</dt><dd>${mesh.errors ? "■ " : ""}${percent(mesh.errors)}</dd></div>
        <div><dt>p95</dt><dd>${ms(mesh.p95)}</dd></div>
        <div class=${mesh.silent ? "bad" : ""}><dt>proxies</dt><dd>${mesh.silent ? `▲ ${mesh.proxies - mesh.silent} of ${mesh.proxies}` : mesh.proxies}</dd></div>`}</dl>
      <div class="tools">
        <input ref=${filterBox} type="search" placeholder="filter  /" aria-label="filter by name" value=${filter} onInput=${(event) => setFilter(event.target.value)} />
        <button aria-pressed=${onlyTrouble ? "true" : "false"} onClick=${() => setOnlyTrouble(!onlyTrouble)} title="only what has trouble (t)">■ trouble</button>
        <button aria-pressed=${frozen ? "true" : "false"} onClick=${pause} title="pause (space)" aria-label=${frozen ? "go on" : "pause"}>${frozen ? "▶" : "▮▮"}</button>
        <button aria-pressed=${document.documentElement.dataset.projector ? "true" : "false"} onClick=${project} title="projector: large type (p)" aria-label="projector mode">A⁺</button>
        <button onClick=${theme} title="dark or light (d)" aria-label="dark or light">◐</button>
        <button onClick=${() => setHelp(!help)} aria-expanded=${help ? "true" : "false"} title="keys (?)" aria-label="keys">?</button>
      </div>
      <nav role="tablist" aria-label="views">${VIEWS.map(([id, title], index) => html`<button key=${id} role="tab" id=${`tab-${id}`} aria-selected=${view === id ? "true" : "false"}
        aria-controls="view" tabindex=${view === id ? 0 : -1} onClick=${() => show(id)} onKeyDown=${(event) => walk(event, index, show)}>${title}${badge(id, state)}</button>`)}</nav>
    </header>
    <${Notices} state=${state} frozen=${frozen} goOn=${pause} />
    <main id="view" role="tabpanel" aria-labelledby=${`tab-${view}`} class=${view}>
      ${!store.met ? html`<${Empty} title="Waiting for the console">It answers within a second, if it runs.<//>`
      : view === "mesh" ? html`<${Mesh} state=${state} past=${past} filter=${wanted} onlyTrouble=${onlyTrouble} selected=${selected} moving=${moving && !frozen}
          select=${(id) => setSelected((now) => (now === id ? "" : id))} setMoving=${setMoving} latency=${() => show("latency")} />`
      : view === "hosts" ? html`<${Hosts} state=${state} filter=${wanted} onlyTrouble=${onlyTrouble} />`
      : view === "breakers" ? html`<${Breakers} state=${state} filter=${wanted} onlyTrouble=${onlyTrouble} />`
      : view === "latency" ? html`<${Latency} state=${state} history=${past} edge=${selected} choose=${setSelected} />`
      : view === "events" ? html`<${Events} state=${state} filter=${wanted} /><${Proxies} state=${state} />`
      : view === "documents" ? html`<${Documents} about=${store.about} mayChange=${store.mayChange} versions=${mesh?.versions || []} />`
      : html`<${Explain} about=${store.about} state=${state} />`}
    </main>
    ${help && html`<aside class="help" role="dialog" aria-label="keys"><h2>Keys</h2><dl>${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <button onClick=${() => setHelp(false)}>close</button></aside>`}`;
}

function walk(event, index, show) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const [id] = VIEWS[(index + step + VIEWS.length) % VIEWS.length];
  show(id);
  document.getElementById(`tab-${id}`).focus();
}

function badge(view, state) {
  const count = view === "hosts" ? Object.values(state.hosts).filter((host) => !host.healthy).length
    : view === "breakers" ? Object.values(state.breakers).filter((card) => Object.values(card.limits).some((limit) => limit.rate > 0)).length : 0;
  return count ? html`<span class="badge" title=${view === "hosts" ? "ejected" : "overflowing"}>${count}</span>` : "";
}

function Notices({ state, frozen, goOn }) {
  const silent = Object.values(state.proxies).filter((proxy) => proxy.error);
  const refusing = Object.values(state.proxies).filter((proxy) => proxy.refused?.length);
  return html`<div class="notices" aria-live="polite">
    ${store.met && !store.connected && html`<p class="bad">▲ The console does not answer. What you see is of ${clock(state.mesh.now?.at ?? 0)}; it is asked again and again.</p>`}
    ${frozen && html`<p>▮▮ Paused at ${clock(state.mesh.now?.at ?? 0)}. <button onClick=${goOn}>go on</button></p>`}
    ${silent.length > 0 && html`<p class="bad">▲ ${silent.map((proxy) => `${proxy.name}${proxy.name === proxy.address ? "" : ` (${proxy.address})`}: ${proxy.error}`).join(" · ")}</p>`}
    ${refusing.length > 0 && html`<p class="bad">▲ The documents have an error; the last good ones serve on. <code>${refusing[0].refused[0]}</code></p>`}
  </div>`;
}

function Mesh({ state, past, filter, onlyTrouble, selected, select, moving, setMoving, latency }) {
  if (!Object.keys(state.nodes).length) {
    return html`<${Empty} title="No proxy answers">${Object.values(state.proxies).map((proxy) => html`<code>${proxy.address}</code> ${proxy.error} `)}<//>`;
  }
  const quiet = !Object.values(state.edges).some((edge) => edge.rps || edge.tcp);
  return html`<div class="world">
    <div class="stage">
      <${Graph} state=${state} filter=${filter} onlyTrouble=${onlyTrouble} selected=${selected} select=${select} moving=${moving} />
      ${quiet && html`<p class="quiet">No requests in the last five seconds.</p>`}
      <ul class="legend">${Object.entries(OUTCOMES).map(([kind, [sign, what]]) => html`<li key=${kind} class=${kind}><span>${sign}</span> ${what}</li>`)}
        <li><label><input type="checkbox" checked=${moving} onChange=${() => setMoving((on) => !on)} /> moving</label></li></ul>
    </div>
    <aside class="side">
      ${selected && (state.edges[selected] || state.nodes[selected]) ? html`<${Selection} id=${selected} state=${state} past=${past} close=${() => select(selected)} latency=${latency} />` : html`<${Troubles} state=${state} />`}
      <${Events} state=${state} filter=${filter} brief=${true} />
    </aside></div>`;
}

function Troubles({ state }) {
  const ejected = Object.values(state.hosts).filter((host) => !host.healthy);
  const over = Object.values(state.breakers).filter((card) => Object.values(card.limits).some((limit) => limit.rate > 0));
  const failing = Object.values(state.edges).filter((edge) => edge.errors >= 0.01).sort((a, b) => b.errors - a.errors);
  return html`<section class="troubles"><h2>Now</h2>
    ${!ejected.length && !over.length && !failing.length && html`<p class="good">● Nothing ejected, nothing overflows, no errors.</p>`}
    <ul>${ejected.map((host) => html`<li key=${host.client + host.address + host.subset}><strong>✕ ${host.name || host.address}</strong> ejected by ${host.client}${host.left !== null && html`, <strong>${Math.ceil(host.left)} s</strong> more`}</li>`)}
      ${over.map((card) => html`<li key=${card.client + card.service + card.subset}><strong>■ breaker</strong> of ${card.client} to ${card.service} ${card.subset} overflows</li>`)}
      ${failing.slice(0, MOST).map((edge) => html`<li key=${edge.source + edge.target}><strong>■ ${percent(edge.errors)}</strong> of ${edge.source} → ${edge.target} fail${Object.keys(edge.flags).length > 0 && html` <small>${Object.keys(edge.flags).join(", ")}</small>`}</li>`)}
      ${failing.length > MOST && html`<li>and ${failing.length - MOST} edges more</li>`}</ul></section>`;
}

function Selection({ id, state, close, latency }) {
  const edge = state.edges[id];
  if (!edge) {
    const node = state.nodes[id];
    const touching = Object.entries(state.edges).filter(([, each]) => each.source === id || each.target === id);
    return html`<section class="selection"><header><h2>${node.name} ${node.version}</h2><button onClick=${close} aria-label="close">✕</button></header>
      <p class="by">${id}${node.state && ` · ${node.state}`}</p>
      <ul>${touching.map(([name, each]) => html`<li key=${name}>${each.source === id ? `→ ${each.target}` : `← ${each.source}`}: <strong>${rate(each.rps)}/s</strong>, ${percent(each.errors)} errors, p95 ${ms(each.p95)}</li>`)}</ul></section>`;
  }
  const words = { mutual: "mutual TLS", plain: "not encrypted", mixed: "partly mutual TLS", "": "no proxy tells" };
  return html`<section class="selection"><header><h2>${edge.source} → ${edge.target}</h2><button onClick=${close} aria-label="close">✕</button></header>
    <dl class="facts"><div><dt>requests</dt><dd>${rate(edge.rps)}/s</dd></div><div><dt>errors</dt><dd>${percent(edge.errors)}</dd></div>
      <div><dt>p50</dt><dd>${ms(edge.p50)}</dd></div><div><dt>p95</dt><dd>${ms(edge.p95)}</dd></div><div><dt>p99</dt><dd>${ms(edge.p99)}</dd></div>
      ${edge.weight !== undefined && html`<div><dt>weight</dt><dd>${edge.weight} %</dd></div>`}
      ${edge.arrived !== undefined && html`<div><dt>arrived</dt><dd>${rate(edge.arrived)}/s</dd></div>`}
      ${edge.tcp && html`<div><dt>TCP</dt><dd>${bytes(edge.tcp.bytes)}/s</dd></div>`}</dl>
    <p class="by">${edge.service} · ${words[edge.tls]}</p>
    <ul>${Object.entries(edge.outcomes).map(([kind, value]) => html`<li key=${kind} class=${kind}><span class="sign">${OUTCOMES[kind][0]}</span> ${rate(value)}/s ${OUTCOMES[kind][1]}</li>`)}
      ${Object.entries(edge.flags).map(([flag, value]) => html`<li key=${flag}><code>${flag}</code> ${rate(value)}/s ${FLAGS[flag] || ""}</li>`)}</ul>
    ${edge.arrived !== undefined && html`<p class="by">More arrives than is sent where there are retries or mirrors.</p>`}
    <button onClick=${latency}>its last 15 minutes</button></section>`;
}

takeToken().catch(() => changed());
render(html`<${App} />`, document.body);
connect();
