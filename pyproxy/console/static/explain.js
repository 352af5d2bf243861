// Why did this request go there: every hop of it, out of the proxies' access logs.

import { html, useState } from "./vendor/preact-htm.module.js";
import { getJson } from "./store.js";
import { Empty } from "./tables.js";

export function Explain({ about }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState("");
  const search = async (event) => {
    event.preventDefault();
    try {
      setFound(await getJson(`/api/request?id=${encodeURIComponent(event.target.elements.id.value.trim())}`));
      setError("");
    } catch (problem) { setError(problem.message); setFound(null); }
  };
  return html`<section class="panel explain">
    <header><h2>Explain a request</h2></header>
    <form onSubmit=${search}><label>its <code>x-request-id</code> <input name="id" size="40" required autocomplete="off" spellcheck=${false}
      placeholder="7d0a5c1e-9b1f-4c39-8f6e-0d8a8e8a2f10" /></label> <button class="primary">Explain</button></form>
    <p class="by">Every response of the mesh carries it: <code>curl -si ${"<page>"} | grep x-request-id</code>.
      ${about.logs ? " The access log must be on: accessLogFile: /dev/stdout in the mesh's settings." : ""}</p>
    ${!about.logs && html`<${Empty} title="No access logs">Start the console with <code>--logs FOLDER</code>, where the proxies' access logs are.<//>`}
    ${error && html`<p class="warn">▲ ${error}</p>`}
    ${found && (found.hops.length ? html`<ol class="hops">${found.hops.map((hop, index) => html`<${Hop} key=${index} hop=${hop} />`)}</ol>`
      : html`<${Empty} title="Not found">No access log has ${found.id}. It may be turned off, or the request older than the part that is searched (8 MB of each log).<//>`)}
  </section>`;
}

function Hop({ hop }) {
  if (hop.line) return html`<li class="hop"><h3>${hop.proxy}</h3><pre>${hop.line}</pre></li>`;
  const bad = hop.meaning.length || hop.response_code >= 500 || hop.response_code === "0";
  const facts = [["route", hop.route_name], ["to", hop.upstream_host && `${hop.target ? `${hop.target} at ` : ""}${hop.upstream_host}`],
    ["took", hop.duration && `${hop.duration} ms`], ["of it the service", hop.upstream_service_time && `${hop.upstream_service_time} ms`],
    ["details", hop.response_code_details], ["connection", hop.upstream_transport_failure_reason]];
  return html`<li class=${`hop ${bad ? "bad" : ""}`}>
    <h3>${hop.proxy} <small>${hop.direction === "inbound" ? "let it in" : hop.direction === "outbound" ? "sent it out" : ""}</small></h3>
    <p><code>${hop.method} ${hop.authority || ""}${hop.path || ""}</code> <strong class=${bad ? "warn" : "good"}>${bad ? "■" : "●"} ${hop.response_code}</strong></p>
    ${hop.meaning.map((text) => html`<p class="warn" key=${text}>▲ ${text}</p>`)}
    <dl>${facts.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl></li>`;
}
