// Fifteen minutes of one edge, or of all: a heat map of how long requests took, and the rates and percentiles over it.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.module.js";
import { clock, ms, quantile, rate } from "./format.js";
import { Empty } from "./tables.js";

const COLUMN_SECONDS = 6;

export function Latency({ state, history, edge, choose }) {
  const names = [...new Set([...Object.keys(state.edges), ...history.steps.flatMap((step) => Object.keys(step.edges))])].sort();
  const chosen = names.includes(edge) ? edge : "";
  if (!history.steps.length) return html`<${Empty} title="No history yet">The console keeps fifteen minutes from the moment it is started.<//>`;
  const columns = gather(history, chosen, COLUMN_SECONDS);
  const points = gather(history, chosen, history.step);
  return html`<section class="panel latency">
    <header><h2>Latency</h2>
      <label>edge <select value=${chosen} onChange=${(event) => choose(event.target.value)}>
        <option value="">all together</option>${names.map((name) => html`<option key=${name} value=${name}>${name.replace(">", " → ")}</option>`)}
      </select></label><p>Last ${Math.max(1, Math.round((history.steps.at(-1).at - history.steps[0].at) / 60))} of 15 minutes; as fine as Istio's buckets.</p></header>
    <${HeatMap} columns=${columns} bounds=${history.bounds} />
    <${Chart} title="requests a second" points=${points} series=${[["requests", "--ok", (p) => p.requests / p.seconds], ["failed", "--server", (p) => p.failed / p.seconds]]} show=${rate} />
    <${Chart} title="milliseconds" points=${points} series=${[["p50", "--ok", (p) => quantile(history.bounds, p.buckets, 0.5)], ["p95", "--client", (p) => quantile(history.bounds, p.buckets, 0.95)], ["p99", "--mesh", (p) => quantile(history.bounds, p.buckets, 0.99)]]} show=${ms} />
  </section>`;
}

// Steps summed up into columns of `width` seconds.
function gather({ steps, bounds }, edge, width) {
  const columns = [];
  for (const step of steps) {
    const at = Math.floor(step.at / width) * width;
    let column = columns.at(-1);
    if (!column || column.at !== at) {
      column = { at, seconds: 0, requests: 0, failed: 0, buckets: Array(bounds.length + 1).fill(0) };
      columns.push(column);
    }
    column.seconds += step.seconds;
    for (const [requests, failed, buckets] of edge ? [step.edges[edge] || [0, 0, []]] : Object.values(step.edges)) {
      column.requests += requests;
      column.failed += failed;
      buckets.forEach((count, index) => { column.buckets[index] += count; });
    }
  }
  return columns;
}

// Light is rare and dark is often, or the other way round on a dark page: one hue, so that it reads without colour.
function HeatMap({ columns, bounds }) {
  const canvas = useRef(null), frame = useRef(null);
  const [tip, setTip] = useState(null);
  const geometry = useRef({});
  const used = columns.flatMap((column) => column.buckets.flatMap((count, index) => (count ? [index] : [])));
  const low = Math.max(0, Math.min(...used, 2) - 1), high = Math.min(bounds.length, Math.max(...used, 6) + 1);
  useLayoutEffect(() => {
    const box = frame.current.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const style = getComputedStyle(frame.current), em = parseFloat(style.fontSize);
    const width = box.width, height = em * 13, left = em * 4.6, bottom = em * 1.7;
    const surface = canvas.current;
    surface.width = width * ratio; surface.height = height * ratio;
    surface.style.width = `${width}px`; surface.style.height = `${height}px`;
    const context = surface.getContext("2d");
    context.scale(ratio, ratio);
    const colour = (name) => style.getPropertyValue(name).trim();
    const end = columns.at(-1).at + COLUMN_SECONDS, start = Math.min(columns[0].at, end - 120);
    const x = (at) => left + (at - start) / (end - start) * (width - left);
    const rows = high - low + 1, y = (index) => (height - bottom) * (1 - (index - low + 1) / rows);
    const cell = (height - bottom) / rows, most = Math.max(...columns.flatMap((column) => column.buckets), 1);
    context.fillStyle = colour("--sunk");
    context.fillRect(left, 0, width - left, height - bottom);
    for (const column of columns) {
      column.buckets.forEach((count, index) => {
        if (!count) return;
        context.globalAlpha = 0.18 + 0.82 * Math.log1p(count) / Math.log1p(most);
        context.fillStyle = colour("--heat");
        context.fillRect(x(column.at), y(index) + 0.5, Math.max(1, x(column.at + COLUMN_SECONDS) - x(column.at) - 0.5), cell - 1);
      });
    }
    context.globalAlpha = 1;
    context.fillStyle = colour("--muted");
    context.font = `${em * 0.78}px system-ui, sans-serif`;
    context.textAlign = "right"; context.textBaseline = "middle";
    const every = Math.max(1, Math.ceil(em * 1.05 / cell));
    for (let index = low; index <= high; index++) {
      if ((index - low) % every) continue;
      context.fillText(index < bounds.length ? `≤ ${ms(bounds[index])}` : "longer", left - em * 0.4, y(index) + cell / 2);
    }
    context.textBaseline = "top";
    const ticks = Math.max(2, Math.floor((width - left) / (em * 7)));
    for (let tick = 0; tick <= ticks; tick++) {
      context.textAlign = tick === 0 ? "left" : tick === ticks ? "right" : "center";
      const at = start + (end - start) * tick / ticks;
      context.fillText(clock(at), x(at), height - bottom + em * 0.4);
    }
    geometry.current = { left, width, start, end, bottom: height - bottom, rows };
  });
  const move = (event) => {
    const box = canvas.current.getBoundingClientRect(), { left, width, start, end, bottom, rows } = geometry.current;
    const x = event.clientX - box.left, y = event.clientY - box.top;
    if (x < left || y > bottom) return setTip(null);
    const at = start + (x - left) / (width - left) * (end - start), index = low + Math.floor((1 - y / bottom) * rows);
    const column = columns.find((each) => each.at <= at && at < each.at + COLUMN_SECONDS);
    if (!column) return setTip(null);
    const count = column.buckets[index] || 0;
    setTip(`${clock(column.at)}: ${count} of ${column.requests} requests took ${index < bounds.length ? `${index ? `${ms(bounds[index - 1])} to ` : "up to "}${ms(bounds[index])}` : `longer than ${ms(bounds.at(-1))}`}`);
  };
  const last = columns.slice(-3).reduce((sum, column) => ({ requests: sum.requests + column.requests, buckets: sum.buckets.map((n, i) => n + column.buckets[i]) }), { requests: 0, buckets: Array(bounds.length + 1).fill(0) });
  return html`<div class="heat"><div ref=${frame}></div>
    <canvas ref=${canvas} role="img" onMouseMove=${move} onMouseLeave=${() => setTip(null)}
      aria-label=${`Heat map of durations. In the last ${3 * COLUMN_SECONDS} seconds: ${last.requests} requests, median ${ms(quantile(bounds, last.buckets, 0.5))}, p99 ${ms(quantile(bounds, last.buckets, 0.99))}`}></canvas>
    <p class="tip">${tip || "Each column is six seconds, each row a bucket; the fuller, the stronger."}</p></div>`;
}

function Chart({ title, points, series, show }) {
  const frame = useRef(null), plot = useRef(null), made = useRef("");
  useEffect(() => {
    const data = [points.map((point) => point.at), ...series.map(([, , value]) => points.map(value))];
    const style = getComputedStyle(frame.current), width = Math.floor(frame.current.clientWidth), em = parseFloat(style.fontSize);
    const key = `${document.documentElement.dataset.theme} ${width} ${em}`;
    const last = () => { if (plot.current.cursor.idx == null) plot.current.setLegend({ idx: points.length - 1 }); };
    if (plot.current && made.current === key) { plot.current.setData(data); last(); return; }
    plot.current?.destroy();
    made.current = key;
    const colour = (name) => style.getPropertyValue(name).trim(), font = `${em * 0.78}px system-ui, sans-serif`;
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font };
    const dashes = [[], [7, 4], [2, 3]];
    plot.current = new window.uPlot({
      width, height: Math.round(em * 10.5), cursor: { y: false }, legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.15, 1)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => clock(tick)), space: em * 7 }, { ...axis, size: em * 4.4, values: (_, ticks) => ticks.map((tick) => show(tick)) }],
      series: [{ value: (_, at) => (at === null ? "" : clock(at)), label: "at" }, ...series.map(([label, name], index) => ({
        label, stroke: colour(name), width: 2, dash: dashes[index], points: { show: false }, spanGaps: false, value: (_, value) => show(value),
      }))],
    }, data, frame.current);
    last();
  });
  useEffect(() => () => { plot.current?.destroy(); plot.current = null; }, []);
  useEffect(() => {
    const observer = new ResizeObserver(() => { if (plot.current && Math.floor(frame.current.clientWidth) !== plot.current.width) plot.current.setSize({ width: Math.floor(frame.current.clientWidth), height: plot.current.height }); });
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return html`<figure class="chart"><figcaption>${title}</figcaption><div ref=${frame}></div></figure>`;
}

