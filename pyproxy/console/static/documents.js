// The documents in force: sliders that write YAML, an editor that is checked as you type, the difference, and Apply.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.module.js";
import { getJson, postJson, store, takeToken } from "./store.js";
import { Empty } from "./tables.js";

const CHECK_AFTER_MS = 250;

export function Documents({ about, mayChange, versions }) {
  const [files, setFiles] = useState(null);
  const [name, setName] = useState("");
  const [error, setError] = useState("");
  const [told, setTold] = useState(null);
  const load = async () => {
    try {
      const found = await getJson("/api/documents");
      setFiles(found.files);
      setError("");
      setName((now) => found.files.some((file) => file.name === now) ? now : (found.files.find((file) => file.routes.some((route) => route.destinations.length > 1)) || found.files[0])?.name || "");
    } catch (problem) { setError(problem.message); }
  };
  useEffect(() => { if (about.editable) load(); }, [about.editable]);
  if (!about.editable) return html`<${InForce} versions=${versions} />`;
  if (error) return html`<${Empty} title="The documents cannot be read">${error}<//>`;
  if (!files) return html`<${Empty} title="Reading the documents" />`;
  if (!files.length) return html`<${Empty} title="No documents">The folder has no *.yaml, *.yml or *.json.<//>`;
  const file = files.find((each) => each.name === name) || files[0];
  return html`<section class="panel documents">
    <header><h2>Documents</h2>
      <label>file <select value=${file.name} onChange=${(event) => { setName(event.target.value); setTold(null); }}>
        ${files.map((each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}</select></label>
      <${Token} mayChange=${mayChange} /></header>
    <${Editor} key=${file.name + file.digest} file=${file} mayChange=${mayChange} reload=${load} told=${told} setTold=${setTold} />
  </section>`;
}

function Token({ mayChange }) {
  const [wrong, setWrong] = useState(false);
  if (mayChange) return html`<p class="state good">● you may change them</p>`;
  const give = async (event) => {
    event.preventDefault();
    const given = event.target.elements.token.value.trim().replace(/^.*#token=/, "");
    setWrong(!(await takeToken(given)));
  };
  return html`<form class="token" onSubmit=${give}><label>To apply changes, paste the token that the terminal shows
    <input name="token" autocomplete="off" spellcheck=${false} placeholder="behind #token=" /></label><button>use it</button>
    ${wrong && html`<span class="warn">▲ that is not it</span>`}</form>`;
}

function Editor({ file, mayChange, reload, told, setTold }) {
  const [text, setText] = useState(file.text);
  const [verdict, setVerdict] = useState({ problems: [], findings: [], diff: "", routes: file.routes, base: file.digest });
  const [checking, setChecking] = useState(false);
  const [undo, setUndo] = useState(() => undone.get(file.name));
  const area = useRef(null), gutter = useRef(null), latest = useRef(0);
  const ask = async (path, body) => {
    const number = ++latest.current;
    setChecking(true);
    try {
      const found = await postJson(path, { file: file.name, ...body });
      if (number !== latest.current) return;
      setVerdict(found);
      setText(found.text);
    } catch (problem) {
      if (number === latest.current) setTold({ bad: true, text: problem.message });
    } finally {
      if (number === latest.current) setChecking(false);
    }
  };
  const timer = useRef(0);
  const later = (act, after) => { clearTimeout(timer.current); timer.current = setTimeout(act, after); };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => { ask("/api/check", { text: file.text }); }, []); // problems of the file as it is
  const typed = (value) => {
    setText(value);
    latest.current++;
    setChecking(true);
    later(async () => {
      const number = ++latest.current;
      try {
        const found = await postJson("/api/check", { file: file.name, text: value });
        if (number === latest.current) { setVerdict(found); setTold(null); }
      } catch (problem) {
        if (number === latest.current) setTold({ bad: true, text: problem.message });
      } finally { if (number === latest.current) setChecking(false); }
    }, CHECK_AFTER_MS);
  };
  const slide = (route, change) => later(() => (setTold(null), ask("/api/propose", { text, document: route.document, route: route.route, ...change })), 120);
  const errors = verdict.problems.filter((problem) => problem.severity === "error");
  const changed = text !== file.text;
  const apply = async (content, base, keepUndo) => {
    try {
      const written = await postJson("/api/apply", { file: file.name, text: content, base });
      if (keepUndo) undone.set(file.name, written.before); else undone.delete(file.name);
      setUndo(undone.get(file.name));
      setTold({ text: "Written. The proxies take it up within a second; the events tell." });
      await reload();
    } catch (problem) { setTold({ bad: true, text: problem.message, reload: problem.status === 409 }); }
  };
  const go = (line) => {
    const start = text.split("\n").slice(0, Math.max(0, line - 1)).join("\n").length + (line > 1 ? 1 : 0);
    area.current.focus();
    area.current.setSelectionRange(start, text.indexOf("\n", start) < 0 ? text.length : text.indexOf("\n", start));
    area.current.scrollTop = (line - 6) * parseFloat(getComputedStyle(area.current).lineHeight);
  };
  const here = verdict.findings.filter((finding) => finding.file === file.name), notable = verdict.findings.filter((finding) => finding.severity !== "info").length;
  const marked = new Map([...here.map((finding) => [finding.line, finding.severity === "info" ? "" : "warning"]), ...verdict.problems.map((problem) => [problem.line, problem.severity])]);
  const lines = text.split("\n").length;
  return html`<div class="edit">
    ${verdict.routes.length > 0 && html`<div class="sliders">${verdict.routes.map((route) => html`<${Route}
      key=${`${route.document}/${route.route}`} route=${route} slide=${(change) => slide(route, change)} />`)}</div>`}
    <div class="text"><div class="code">
      <div class="gutter" ref=${gutter} aria-hidden="true">${Array.from({ length: lines }, (_, index) => html`<span key=${index} class=${marked.get(index + 1) || ""}>${index + 1}</span>`)}</div>
      <textarea ref=${area} spellcheck=${false} wrap="off" aria-label=${`The text of ${file.name}`} value=${text} onInput=${(event) => typed(event.target.value)}
        onScroll=${(event) => { gutter.current.scrollTop = event.target.scrollTop; }} onKeyDown=${(event) => { event.stopPropagation(); if (event.key === "Escape") event.target.blur(); }}></textarea></div>
      <div class="verdict" aria-live="polite">
        <p class="doing">
          <button class="primary" disabled=${!changed || errors.length > 0 || checking || !mayChange} onClick=${() => apply(text, verdict.base, true)}
            title=${mayChange ? "" : "needs the token"}>Apply</button>
          <button disabled=${!changed} onClick=${() => ask("/api/check", { text: file.text })}>Discard</button>
          <button disabled=${undo === undefined || changed || !mayChange} onClick=${() => apply(undo, file.digest, false)}>Undo the last</button>
          <span class=${`state ${errors.length ? "bad" : notable ? "doubtful" : "good"}`}>${checking ? "…" : errors.length ? `✕ ${counted(errors.length, "error")}` : notable ? `▲ valid, with ${counted(notable, "finding")}` : "● valid"}</span></p>
        ${told && html`<p class=${told.bad ? "warn" : "good"}>${told.bad ? "▲ " : "✓ "}${told.text} ${told.reload && html`<button onClick=${reload}>load it again</button>`}</p>`}
        <ul class="problems">${verdict.problems.map((problem, index) => html`<li key=${index} class=${problem.severity}><button onClick=${() => go(problem.line)}>line ${problem.line}</button>
          <span>${problem.path && html`<code>${problem.path}</code> `}${problem.message}</span></li>`)}</ul>
        ${verdict.findings.length > 0 && html`<h3>With the other documents</h3>
          <ul class="problems findings">${verdict.findings.map((finding, index) => html`<li key=${index} class=${finding.severity === "info" ? "info" : "warning"}>
            ${finding.file === file.name ? html`<button onClick=${() => go(finding.line)}>line ${finding.line}</button>` : html`<b>${finding.file}, line ${finding.line}</b>`}
            <span><b>${finding.code}</b> ${finding.path && html`<code>${finding.path}</code> `}${finding.message}</span></li>`)}</ul>`}
        ${changed && html`<${Diff} text=${verdict.diff} />`}
        ${!changed && !told && html`<p class="nothing">Type, or move a slider: the difference is shown here before anything is written.</p>`}
      </div></div></div>`;
}

const undone = new Map();

const counted = (number, noun) => `${number} ${noun}${number > 1 ? "s" : ""}`;

export function Diff({ text }) {
  if (!text) return html`<p class="nothing">No difference to what is on disk.</p>`;
  return html`<pre class="diff" aria-label="The difference">${text.split("\n").map((line, index) => html`<span key=${index}
    class=${line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : line.startsWith("@") ? "at" : ""}>${line || " "}\n</span>`)}</pre>`;
}

function Route({ route, slide }) {
  const many = route.destinations.length > 1;
  const total = route.destinations.reduce((sum, each) => sum + each.weight, 0);
  const weigh = (index, value) => slide({ weights: balance(route.destinations.map((each) => each.weight), index, value) });
  const faults = { abort: route.abort, delay: route.delay };
  const fault = (kind, value) => slide({ faults: { ...faults, [kind]: value } });
  const abort = route.abort || { percent: 0, status: 503 }, delay = route.delay || { percent: 0, seconds: 2 };
  return html`<fieldset><legend>${route.virtual_service}${route.name && ` · ${route.name}`}</legend>
    <p class="match" title=${route.match}>${route.match}</p>
    ${many && html`<div class="weights">${route.destinations.map((each, index) => html`<${Slider} key=${index} label=${each.title}
      value=${total ? Math.round(100 * each.weight / total) : 0} unit="%" max="100" onChange=${(value) => weigh(index, value)} />`)}</div>`}
    ${!many && route.destinations[0] && html`<p class="by">all to ${route.destinations[0].title}</p>`}
    ${route.destinations.length > 0 && html`<div class="faults">
      <${Slider} label="abort" value=${abort.percent} unit="%" max="100" onChange=${(percent) => fault("abort", percent ? { ...abort, percent } : null)} />
      <label class="small">with <input type="number" min="200" max="599" value=${abort.status} disabled=${!route.abort} onChange=${(event) => fault("abort", { ...abort, status: +event.target.value })} /></label>
      <${Slider} label="delay" value=${delay.percent} unit="%" max="100" onChange=${(percent) => fault("delay", percent ? { ...delay, percent } : null)} />
      <label class="small">for <input type="number" min="0.001" step="0.1" value=${delay.seconds} disabled=${!route.delay} onChange=${(event) => fault("delay", { ...delay, seconds: +event.target.value })} /> s</label>
    </div>`}</fieldset>`;
}

function Slider({ label, value, unit, max, onChange }) {
  const [moved, setMoved] = useState(null);
  useEffect(() => setMoved(null), [value]);
  const shown = moved ?? value;
  return html`<label class="slider"><span>${label}</span>
    <input type="range" min="0" max=${max} value=${shown} onInput=${(event) => { setMoved(+event.target.value); onChange(+event.target.value); }} onKeyDown=${(event) => event.stopPropagation()} />
    <output>${Math.round(shown * 10) / 10} ${unit}</output></label>`;
}

// One weight moved: the others share what is left, in the proportion they had; together 100.
function balance(weights, index, value) {
  const others = weights.reduce((sum, weight, place) => (place === index ? sum : sum + weight), 0);
  const left = 100 - value, next = weights.map((weight, place) => (place === index ? value : Math.floor(others ? left * weight / others : left / (weights.length - 1))));
  let missing = 100 - next.reduce((sum, weight) => sum + weight, 0);
  for (let place = 0; missing > 0; place = (place + 1) % next.length) if (place !== index) { next[place]++; missing--; }
  return next;
}

function InForce({ versions }) {
  const [text, setText] = useState(null);
  useEffect(() => { getJson("/api/in-force").then((found) => setText(found.text)).catch((problem) => setText(`# ${problem.message}`)); }, [versions.join()]);
  return html`<section class="panel"><header><h2>Documents in force</h2>
    <p>As the first proxy that answers has them. To edit them here, start the console with <code>--config</code> and the proxies' folder.</p></header>
    <pre class="yaml">${text ?? "…"}</pre></section>`;
}
