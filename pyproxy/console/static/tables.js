// Hosts with their ejections, breakers with their ceilings, proxies with what they say of themselves.

import { html, useEffect, useState } from "./vendor/preact-htm.module.js";
import { clock, percent, rate } from "./format.js";
import { store } from "./store.js";

// Seconds that passed since the console last spoke: countdowns go on between two messages.
function useSince() {
  const [, again] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => again((count) => count + 1), 250);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, (performance.now() - store.heardAt) / 1000);
}

export function Hosts({ state, filter, onlyTrouble }) {
  const since = useSince();
  const rows = Object.entries(state.hosts)
    .filter(([, host]) => !filter || `${host.client} ${host.service} ${host.subset} ${host.name} ${host.address}`.includes(filter))
    .filter(([, host]) => !onlyTrouble || !host.healthy || host.errors > 0)
    .sort(([, a], [, b]) => a.healthy - b.healthy || order(a, b));
  const busy = rows.filter(([, host]) => host.total || !host.healthy || host.connections);
  const [all, setAll] = useState(false);
  const shown = all || busy.length === 0 ? rows : busy;
  if (!Object.keys(state.hosts).length) return html`<${Empty} title="No hosts yet">No proxy that answers has a service to call.<//>`;
  return html`<section class="panel">
    <header><h2>Hosts</h2><p>Each client proxy judges for itself: a host may be ejected for one and in use for another.</p>
      <label class="toggle"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /> unused ones too (${rows.length - busy.length})</label></header>
    ${!shown.length && html`<${Empty} title="Nothing here">No host fits the filter${onlyTrouble ? ", or none has trouble" : ""}.<//>`}
    ${shown.length > 0 && html`<div class="scroll"><table class="hosts">
      <thead><tr><th>client proxy</th><th>service</th><th>host</th><th>health</th><th class="number">req/s</th><th class="number">errors</th>
        <th class="number">active</th><th class="number">connections</th><th class="number">weight</th></tr></thead>
      <tbody>${shown.map(([id, host]) => html`<tr key=${id} class=${host.healthy ? "" : "ejected"}>
        <td data-name="client">${host.client}</td>
        <td data-name="service">${host.service}${host.subset && html` <span class="tag">${host.subset}</span>`}</td>
        <td data-name="host">${host.name && html`${host.name} `}<code>${host.address}</code></td>
        <td data-name="health"><${Health} host=${host} since=${since} /></td>
        <td data-name="req/s" class="number">${rate(host.rps)}</td>
        <td data-name="errors" class=${`number ${host.errors ? "warn" : ""}`}>${host.errors ? "■ " : ""}${percent(host.errors)}</td>
        <td data-name="active" class="number">${host.active}</td><td data-name="connections" class="number">${host.connections}</td>
        <td data-name="weight" class="number">${host.weight}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

const order = (a, b) => `${a.client} ${a.service} ${a.subset} ${a.address}`.localeCompare(`${b.client} ${b.service} ${b.subset} ${b.address}`);

function Health({ host, since }) {
  if (host.healthy) {
    return html`<span class="state good">● in use</span>${!host.watched && html` <small title="its DestinationRule has no outlierDetection">not watched</small>`}`;
  }
  if (host.left === null) return html`<span class="state bad">✕ ejected</span>`;
  const left = Math.max(0, host.left - since);
  return html`<span class="state bad">✕ ejected</span> <strong class="countdown" title="at the next look after that the proxy lets it return">${left < 0.05 ? "returns now" : `${left.toFixed(left < 10 ? 1 : 0)} s left`}</strong>
    ${host.times > 1 && html` <small>the ${ordinal(host.times)} time</small>`}`;
}

const ordinal = (n) => `${n}${n % 100 >= 11 && n % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th"}`;
const KINDS = { connections: "connections", pending: "waiting", requests: "requests", retries: "retries" };
const FIELDS = {
  connections: "tcp.maxConnections", pending: "http.http1MaxPendingRequests", requests: "http.http2MaxRequests", retries: "http.maxRetries",
};

export function Breakers({ state, filter, onlyTrouble }) {
  const [all, setAll] = useState(false);
  const cards = Object.entries(state.breakers)
    .filter(([, card]) => !filter || `${card.client} ${card.service} ${card.subset}`.includes(filter))
    .filter(([, card]) => !onlyTrouble || level(card) > 0)
    .sort(([, a], [, b]) => level(b) - level(a) || b.used - a.used || order({ address: "", ...a }, { address: "", ...b }));
  const used = cards.filter(([, card]) => card.used || level(card));
  const shown = all || !used.length ? cards : used;
  if (!Object.keys(state.breakers).length) {
    return html`<${Empty} title="No ceilings are set">No DestinationRule in force has a <code>connectionPool</code>, so no breaker can overflow.<//>`;
  }
  return html`<section class="panel">
    <header><h2>Circuit breakers</h2><p>Counted <strong>per client proxy</strong>: three clients with a ceiling of 10 can bring 30.</p>
      <label class="toggle"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /> unused ones too (${cards.length - used.length})</label></header>
    ${!shown.length && html`<${Empty} title="Nothing here">No breaker fits the filter.<//>`}
    <div class="cards">${shown.map(([id, card]) => html`<article key=${id} class=${`card ${["", "full", "over"][level(card)]}`}>
      <h3>${card.inbound ? card.client : card.service} ${card.subset && html`<span class="tag">${card.subset}</span>`}${card.inbound && html`<span class="tag">inbound ${card.service}</span>`}</h3>
      <p class="by">${card.inbound ? "at its own proxy, for all that comes in" : html`per client proxy: <strong>${card.client}</strong>`}</p>
      ${Object.entries(card.limits).map(([kind, limit]) => html`<${Limit} key=${kind} kind=${kind} limit=${limit} />`)}
      <p class="by">${rate(card.retries)} retries/s · ${rate(card.timeouts)} timeouts/s</p>
    </article>`)}</div></section>`;
}

function level(card) {
  const limits = Object.values(card.limits);
  if (limits.some((limit) => limit.rate > 0)) return 2;
  return limits.some((limit) => limit.ceiling !== null && limit.now >= limit.ceiling) ? 1 : 0;
}

function Limit({ kind, limit }) {
  const share = limit.ceiling ? Math.min(1, limit.now / limit.ceiling) : limit.ceiling === 0 ? 1 : 0;
  const full = limit.ceiling !== null && limit.now >= limit.ceiling;
  return html`<div class=${`limit ${full ? "full" : ""}`} title=${FIELDS[kind]}>
    <span>${KINDS[kind]}</span>
    <span class="number"><strong>${limit.now}</strong> / ${limit.ceiling ?? "no ceiling"}${full ? " full" : ""}</span>
    <span class="bar" role="meter" aria-valuemin="0" aria-valuemax=${limit.ceiling ?? 0} aria-valuenow=${limit.now} aria-label=${KINDS[kind]}>
      <span style=${{ width: `${100 * share}%` }}></span></span>
    <span class=${`number overflows ${limit.rate > 0 ? "bad" : ""}`}>${limit.rate > 0 ? "✕ " : ""}${limit.overflows} overflowed${limit.rate > 0 ? `, ${rate(limit.rate)}/s now` : ""}</span>
  </div>`;
}

export function Proxies({ state }) {
  const rows = Object.entries(state.proxies).sort(([, a], [, b]) => a.name.localeCompare(b.name));
  const newest = rows.map(([, row]) => row.version).filter(Boolean);
  const common = newest.sort((a, b) => newest.filter((v) => v === b).length - newest.filter((v) => v === a).length)[0];
  return html`<section class="panel"><header><h2>Proxies</h2></header><div class="scroll"><table>
    <thead><tr><th>proxy</th><th>admin port</th><th>state</th><th>documents</th><th>certificate</th></tr></thead>
    <tbody>${rows.map(([id, row]) => html`<tr key=${id}>
      <td data-name="proxy">${row.name}</td><td data-name="admin port"><a href=${`http://${row.address}/`} target="_blank" rel="noreferrer"><code>${row.address}</code></a></td>
      <td data-name="state">${row.error ? html`<span class="state bad">✕ ${row.error}</span>` : html`<span class="state good">● ${row.state}</span>`}</td>
      <td data-name="documents"><code>${(row.version || "").slice(0, 8)}</code>${row.version && row.version !== common && html` <span class="warn">▲ not those of the others</span>`}
        ${row.refused?.length > 0 && html` <span class="warn" title=${row.refused.join("\n")}>▲ refused a change</span>`}</td>
      <td data-name="certificate">${row.certificate_error ? html`<span class="warn">▲ ${row.certificate_error}</span>` : row.expires ? `until ${new Date(row.expires * 1000).toLocaleDateString()}` : "none"}</td>
    </tr>`)}</tbody></table></div></section>`;
}

const SIGNS = {
  configuration: "✓", rejected: "▲", ejected: "✕", returned: "●", overflow: "■", certificate: "◆", proxy: "○",
};
const KIND_WORDS = {
  configuration: "taken up", rejected: "refused", ejected: "ejected", returned: "returned", overflow: "overflow",
  certificate: "certificate", proxy: "proxy",
};

export function Events({ state, filter, brief }) {
  const [kinds, setKinds] = useState([]);
  const all = Object.values(state.events).sort((a, b) => b.number - a.number);
  const events = all
    .filter((event) => !kinds.length || kinds.includes(event.kind))
    .filter((event) => !filter || `${event.text} ${event.proxies.join(" ")}`.includes(filter))
    .slice(0, brief ? 8 : 300);
  const toggle = (kind) => setKinds(kinds.includes(kind) ? kinds.filter((each) => each !== kind) : [...kinds, kind]);
  return html`<section class=${brief ? "events brief" : "panel events"}>
    <header><h2>${brief ? "What happened" : "Events"}</h2>
      ${!brief && html`<div class="chips" role="group" aria-label="kinds">${Object.keys(SIGNS).map((kind) => html`<button key=${kind}
        class=${`chip ${kind}`} aria-pressed=${kinds.includes(kind) ? "true" : "false"} onClick=${() => toggle(kind)}>${SIGNS[kind]} ${KIND_WORDS[kind]}</button>`)}</div>`}</header>
    ${!events.length && html`<p class="nothing">${all.length ? "Nothing fits the filter." : "Nothing since the console was opened. Change a document, or break something."}</p>`}
    <ol>${events.map((event) => html`<li key=${event.number} class=${event.kind}>
      <time>${clock(event.until)}</time><span class="sign" title=${KIND_WORDS[event.kind]}>${SIGNS[event.kind]}</span>
      <div><span>${event.text}${event.kind === "overflow" ? ` ${event.count}×` : ""}</span>
        ${event.proxies.length > 1 && html` <small>${event.proxies.length} proxies</small>`}
        ${event.detail && (event.detail.includes("\n") || event.detail.length > 90 ? html`<details><summary>why</summary><pre>${event.detail}</pre></details>` : html` <small>${event.detail}</small>`)}</div>
    </li>`)}</ol></section>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><strong>${title}</strong><p>${children}</p></div>`;
}
