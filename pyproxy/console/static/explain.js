// Why did this request go there? What the access logs tell of it, and what the documents say to it.

import { html, useEffect, useState } from "./vendor/preact-htm.module.js";
import { getJson } from "./store.js";
import { Empty } from "./tables.js";

export function Explain({ about, state }) {
  const [asked, setAsked] = useState({ proxy: "", method: "GET", url: "", headers: "" });
  return html`${about.logs ? html`<${Logged} why=${setAsked} proxies=${Object.values(state.proxies).map((proxy) => proxy.name)} />` : html`<section class="panel"><header><h2>One request's way</h2></header>
      <p class="nothing">Start the console with <code>--logs FOLDER</code>, where the proxies' access logs are, to follow a request.</p></section>`}
    ${about.editable ? html`<${Would} asked=${asked} setAsked=${setAsked} proxies=${Object.values(state.proxies).map((proxy) => proxy.name).sort()} />`
    : html`<section class="panel"><header><h2>What would one meet?</h2></header><p class="nothing">Start the console with <code>--config FOLDER</code> to ask the documents.</p></section>`}`;
}

function Logged({ why, proxies }) {
  const [recent, setRecent] = useState([]);
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const list = () => getJson("/api/requests").then((answer) => setRecent(answer.requests)).catch((problem) => setError(problem.message));
  useEffect(() => { list(); }, []);
  const follow = async (id) => {
    try {
      setFound(await getJson(`/api/request?id=${encodeURIComponent(id)}`));
      setError("");
    } catch (problem) { setError(problem.message); setFound(null); }
  };
  return html`<section class="panel explain">
    <header><h2>One request's way</h2>
      <form onSubmit=${(event) => { event.preventDefault(); follow(event.target.elements.id.value.trim()); }}><label><code>x-request-id</code> <input name="id" size="38" required autocomplete="off" spellcheck=${false}
        placeholder="7d0a5c1e-9b1f-4c39-8f6e-0d8a8e8a2f10" /></label> <button class="primary">Follow it</button></form></header>
    ${error && html`<p class="warn">▲ ${error}</p>`}
    ${found && html`<div class="found"><p class="by"><code>${found.id}</code> <button onClick=${() => { setFound(null); list(); }}>back to the list</button></p>
      ${found.hops.length ? html`<ol class="hops">${found.hops.map((hop, index) => html`<${Hop} key=${index} hop=${hop} why=${proxies.includes(hop.proxy) && why} />`)}</ol>`
      : html`<p class="nothing">No access log has it. It may be turned off, or the request older than the part that is searched (8 MB of each log).</p>`}</div>`}
    ${!found && (recent.length ? html`<p class="by">The last ones, those that failed first. <button onClick=${list}>look again</button></p>
      <div class="scroll"><table class="recent"><tbody>${recent.map((each) => html`<tr key=${each.id}>
        <td>${String(each.at).slice(11, 23)}</td><td class=${each.response_code >= 500 ? "warn" : "good"}>${each.response_code >= 500 ? "■" : "●"} ${each.response_code}</td>
        <td class="warn">${each.response_code >= 500 ? each.response_flags.replace(/^-$/, "") : each.failed.length ? `▲ ${[...new Set(each.failed.map((text) => text.replace(" -", "")))].join(", ")} on its way` : ""}</td>
        <td><code>${each.method} ${each.authority}${each.path}</code></td><td class="number">${each.duration} ms</td><td>${each.hops} ${each.hops === 1 ? "hop" : "hops"}</td>
        <td><button onClick=${() => follow(each.id)}>follow it</button></td></tr>`)}</tbody></table></div>`
      : html`<p class="nothing">No access log tells of any request. Is it turned on? In the mesh's settings: <code>accessLogFile: /dev/stdout</code>. <button onClick=${list}>look again</button></p>`)}
  </section>`;
}

function Hop({ hop, why }) {
  if (hop.line) return html`<li class="hop"><h3>${hop.proxy}</h3><pre>${hop.line}</pre></li>`;
  const bad = hop.meaning.length || hop.response_code >= 500 || +hop.response_code === 0;
  const facts = [["route", hop.route_name], ["to", hop.upstream_host && `${hop.target ? `${hop.target} at ` : ""}${hop.upstream_host}`],
    ["took", hop.duration && `${hop.duration} ms`], ["of it the service", hop.upstream_service_time && `${hop.upstream_service_time} ms`],
    ["details", hop.response_code_details], ["connection", hop.upstream_transport_failure_reason]];
  const ask = () => { why({ proxy: hop.proxy, method: hop.method, url: `http://${hop.authority}${hop.path}`, headers: "", hop }); };
  return html`<li class=${`hop ${bad ? "bad" : ""}`}>
    <h3>${hop.proxy} <small>${hop.direction === "inbound" ? "let it in" : hop.direction === "outbound" ? "sent it out" : ""}</small></h3>
    <p><code>${hop.method} ${hop.authority || ""}${hop.path || ""}</code> <strong class=${bad ? "warn" : "good"}>${bad ? "■" : "●"} ${hop.response_code}</strong></p>
    ${hop.meaning.map((text) => html`<p class="warn" key=${text}>▲ ${text}</p>`)}
    <dl>${facts.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    ${why && hop.direction !== "inbound" && html`<p><button onClick=${ask}>why there?</button></p>`}</li>`;
}

function Would({ asked, setAsked, proxies }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const set = (name) => (event) => setAsked({ ...asked, [name]: event.target.value });
  const proxy = asked.proxy || proxies[0] || "";
  const ask = async (event) => {
    event?.preventDefault();
    const query = new URLSearchParams({ proxy, method: asked.method, url: asked.url });
    for (const line of asked.headers.split("\n")) if (line.trim()) query.append("header", line);
    try { setFound(await getJson(`/api/explain?${query}`)); setError(""); } catch (problem) { setError(problem.message); setFound(null); }
  };
  useEffect(() => { if (asked.hop) ask().then(() => document.getElementById("would")?.scrollIntoView({ behavior: "smooth", block: "start" })); }, [asked.hop]);
  return html`<section class="panel explain" id="would">
    <header><h2>What would one meet?</h2><p>As <code>pyproxy explain</code> says it, by the documents on disk. Nothing is sent.</p></header>
    <form onSubmit=${ask} class="ask">
      <label>at <select value=${proxy} onChange=${set("proxy")}>${proxies.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <select aria-label="method" value=${asked.method} onChange=${set("method")}>${["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"].map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
      <input aria-label="address" name="url" size="36" required placeholder="http://reviews:9080/reviews/0" value=${asked.url} onInput=${set("url")} />
      <textarea aria-label="headers" rows="1" placeholder="end-user: jason" value=${asked.headers} onInput=${set("headers")} onKeyDown=${(event) => event.stopPropagation()}></textarea>
      <button class="primary">Explain</button></form>
    ${error && html`<p class="warn">▲ ${error}</p>`}
    ${found && html`<${Explanation} found=${found} />`}
  </section>`;
}

function Explanation({ found }) {
  return html`<ol class="hops way">
    <li class="hop"><h3>listener ${found.listener.name}</h3>${found.virtual_host.name && html`<p>virtual host <code>${found.virtual_host.name}</code></p>`}</li>
    ${found.here && html`<${Side} side=${found.here} where="this workload" />`}
    ${found.routes.map((tried) => html`<li key=${tried.index} class=${`hop ${tried.matched ? "" : "other"}`}>
      <h3>${tried.matched ? "●" : "○"} route ${tried.index} ${tried.name} <small>${tried.virtual_service && `of ${tried.virtual_service}`} ${tried.matched ? "matches" : "does not match"}</small></h3>
      ${tried.conditions.map((each) => html`<p key=${each.condition} class=${each.holds ? "good" : ""}>${each.holds ? "✓" : "✕"} ${each.condition}${each.holds ? "" : html` <small>the request has ${each.found}</small>`}</p>`)}</li>`)}
    ${found.answer && html`<li class="hop bad"><h3>the proxy answers: ${found.answer}</h3></li>`}
    ${Object.keys(found.fault).length > 0 && html`<li class="hop bad"><h3>injected fault</h3><${Values} values=${found.fault} /></li>`}
    ${Object.keys(found.policies).length > 0 && html`<li class="hop"><h3>on the way</h3><${Values} values=${found.policies} /></li>`}
    ${found.targets.map((target) => html`<li key=${target.cluster} class=${`hop ${target.problem ? "bad" : ""}`}>
      <h3>${target.share} to ${target.host} ${target.subset && html`<span class="tag">${target.subset}</span>`}</h3>
      ${target.problem && html`<p class="warn">▲ ${target.problem}</p>`}
      ${target.destination_rule && html`<p class="by">DestinationRule ${target.destination_rule}</p>`}
      <${Values} values=${target.policies} />
      ${target.endpoints.map((each) => html`<p key=${each.address}>endpoint <code>${each.address}</code> ${[each.workload, each.locality, each.connection].filter(Boolean).join(", ")}</p>`)}
      ${target.server_side.map((side) => html`<${Side} key=${side.workload} side=${side} where=${side.workload} />`)}</li>`)}
    ${found.notes.map((note) => html`<li key=${note} class="by">${note}</li>`)}</ol>`;
}

function Side({ side, where }) {
  const refused = side.connection.startsWith("refused") || side.authorization.startsWith("denied");
  return html`<p class=${refused ? "warn" : ""}>${refused ? "▲" : "✓"} ${where} port ${side.port}: ${side.connection}, ${side.authorization}</p>`;
}

const words = (value) => (Array.isArray(value) ? value.map(words).join(", ")
  : value !== null && typeof value === "object" ? Object.entries(value).map(([name, each]) => `${name} ${words(each)}`).join(", ") : String(value));

function Values({ values }) {
  return html`<dl>${Object.entries(values).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${words(value)}</dd>`)}</dl>`;
}
