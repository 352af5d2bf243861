// The mesh as a graph: callers before whom they call, numbers on every edge.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact-htm.module.js";
import { Dots, point } from "./dots.js";
import { ms, percent, rate } from "./format.js";

const LOCK = "M-3.2 -0.5v-2a3.2 3.2 0 0 1 6.4 0v2M-4.6 -0.5h9.2v6.2h-9.2z";
const OPEN_LOCK = "M-3.2 -0.5v-2.6a3.2 3.2 0 0 1 6 -1.4M-4.6 -0.5h9.2v6.2h-9.2z";
const SECURITY = { mutual: "mutual TLS", plain: "not encrypted", mixed: "partly mutual TLS" };

export function Graph({ state, filter, onlyTrouble, selected, select, moving }) {
  const frame = useRef(null), canvas = useRef(null), dots = useRef(null);
  const [size, setSize] = useState([0, 0, 16]);
  useLayoutEffect(() => {
    const measure = () => {
      const box = frame.current.getBoundingClientRect();
      setSize([box.width, box.height, parseFloat(getComputedStyle(frame.current).fontSize)]);
    };
    const observer = new ResizeObserver(measure);
    observer.observe(frame.current);
    measure();
    return () => observer.disconnect();
  }, []);
  const drawing = useMemo(() => draw(state.nodes, state.edges, size), [state.nodes, state.edges, ...size]);
  const trouble = useMemo(() => troubled(state), [state.hosts, state.breakers, state.edges]);
  const dim = (edge) => !wanted(edge, filter) || (onlyTrouble && !edge.errors);

  useEffect(() => {
    dots.current ??= new Dots(canvas.current);
    dots.current.update(
      drawing.edges.filter(({ edge }) => !dim(edge)).map(({ id, curve, edge }) => ({ id, curve, outcomes: edge.outcomes })),
      drawing.width, drawing.height, size[2] / 4);
    if (moving) dots.current.start(); else dots.current.stop();
  });
  useEffect(() => () => dots.current?.stop(), []);

  const near = selected && new Set(drawing.edges
    .filter(({ id, edge }) => id === selected || edge.source === selected || edge.target === selected).map(({ id }) => id));
  return html`<div class="graph" ref=${frame}>
    <svg width=${drawing.width} height=${drawing.height} font-size=${drawing.em} role="group" aria-label="The mesh">
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="10" markerHeight="10" orient="auto">
        <path d="M0 .8L7.4 4L0 7.2z" class="arrow" /></marker></defs>
      ${drawing.edges.map(({ id, edge, curve, width }) => html`<g key=${id}
          class=${classes("edge", { idle: !edge.rps && !edge.tcp, bad: edge.errors >= 0.01, dim: dim(edge) || (near && !near.has(id)), mirror: !edge.rps && edge.arrived })}
          onClick=${() => select(id)}>
        <path class="reach" d=${path(curve)} />
        <path class="line" d=${path(curve)} marker-end="url(#arrow)" stroke-width=${width} />
      </g>`)}
      ${drawing.nodes.map((node) => html`<${Node} key=${node.id} ...${node} selected=${selected === node.id} select=${select}
          dim=${filter && !node.id.includes(filter) && !drawing.edges.some(({ edge }) => (edge.source === node.id || edge.target === node.id) && wanted(edge, filter))}
          trouble=${trouble.get(node.id)} em=${drawing.em} />`)}
    </svg>
    <canvas ref=${canvas} aria-hidden="true"></canvas>
    <svg class="labels" width=${drawing.width} height=${drawing.height} font-size=${drawing.em} role="group" aria-label="Who calls whom">
      ${drawing.edges.map(({ id, edge, label }) => html`<${Label} key=${id} id=${id} edge=${edge} at=${label} em=${drawing.em}
          brief=${drawing.brief && selected !== id} select=${select} selected=${selected === id} dim=${dim(edge) || (near && !near.has(id))} />`)}
    </svg>
  </div>`;
}

const wanted = (edge, filter) => !filter || `${edge.source} ${edge.target} ${edge.service}`.includes(filter);
const classes = (first, flags) => [first, ...Object.keys(flags).filter((name) => flags[name])].join(" ");
const path = ([a, b, ...rest]) => `M${a} ${b}C${rest.map((value) => Math.round(value * 10) / 10).join(" ")}`; // C takes any number of curves

function Node({ id, node, x, y, width, height, selected, select, dim, trouble, em }) {
  const says = trouble?.length ? trouble.join(", ") : node.state === "silent" ? "does not answer" : node.kind === "nobody" ? "nobody answered" : "";
  const about = says || (node.kind === "outside" ? "its proxy is not asked, or it has none" : "");
  const name = node.name.length > 22 ? `${node.name.slice(0, 21)}…` : node.name;
  const title = says && node.version ? `${name} ${node.version}` : name, second = says ? `⚠ ${says}` : node.version;
  // What is too long for its box is set narrower.
  const fit = (text, each) => (text.length * em * each > width - 8 ? { textLength: Math.max(20, width - 10), lengthAdjust: "spacingAndGlyphs" } : {});
  return html`<g class=${classes(`node ${node.kind}`, { selected, dim, silent: node.state === "silent", trouble: trouble?.length })}
      transform=${`translate(${x} ${y})`} tabindex="0" role="button" aria-pressed=${selected ? "true" : "false"}
      aria-label=${`${node.name} ${node.version} ${about}`} onClick=${() => select(id)} onKeyDown=${pressed(() => select(id))}>
    <title>${id}${about ? `: ${about}` : ""}</title>
    <rect x=${-width / 2} y=${-height / 2} width=${width} height=${height} rx="9" />
    <text class="name" key=${`n${title.length}`} ...${fit(title, 0.62)} y=${second ? -em * 0.12 : em * 0.34}>${title}</text>
    ${second && html`<text key=${`s${second.length}`} class=${says ? "says" : "version"} ...${fit(second, 0.56)} y=${em * 1.0}>${second}</text>`}
  </g>`;
}

function Label({ id, edge, at, brief, select, selected, dim, em }) {
  const second = brief ? "" : edge.tcp && !edge.rps ? "TCP" : edge.p95 === null ? "" : `p95 ${ms(edge.p95)}`;
  const third = [edge.errors ? `■ ${percent(edge.errors)}` : "", edge.weight !== undefined && !brief ? `⚖ ${edge.weight}%` : ""].filter(Boolean).join("  ");
  const first = edge.tcp && !edge.rps ? `${rate(edge.tcp.opened)} conn/s` : edge.rps || !edge.arrived ? `${rate(edge.rps)}/s` : `mirror ${rate(edge.arrived)}/s`;
  const lines = [first, second, third].filter(Boolean);
  const width = em * (0.58 * Math.max(lines[0].length + (edge.tls ? 2.2 : 0), ...lines.slice(1).map((line) => line.length * 0.92)) + 0.8), height = em * (0.95 * lines.length + 0.35);
  return html`<g class=${classes("label", { selected, dim, bad: edge.errors >= 0.01, idle: !edge.rps && !edge.tcp && !edge.arrived })} transform=${`translate(${at[0]} ${at[1]})`}
      tabindex="0" role="button" onClick=${() => select(id)} onKeyDown=${pressed(() => select(id))}
      aria-label=${`${edge.source} to ${edge.target}: ${rate(edge.rps)} requests a second, ${percent(edge.errors)} errors, p95 ${ms(edge.p95)}${edge.tls ? `, ${SECURITY[edge.tls]}` : ""}`}>
    <title>${edge.source} → ${edge.target}: ${rate(edge.rps)}/s, ${percent(edge.errors)} errors, p50 ${ms(edge.p50)}, p95 ${ms(edge.p95)}, p99 ${ms(edge.p99)}${edge.tls ? `, ${SECURITY[edge.tls]}` : ""}</title>
    <rect x=${-width / 2} y=${-height / 2} width=${width} height=${height} rx="5" />
    ${edge.tls && html`<path class=${`lock ${edge.tls}`} d=${edge.tls === "mutual" ? LOCK : OPEN_LOCK} transform=${`translate(${-width / 2 + em * 0.55} ${-height / 2 + em * 0.65}) scale(${em / 19})`} />`}
    ${lines.map((line, index) => html`<text x=${edge.tls && index === 0 ? em * 0.35 : 0} y=${-height / 2 + em * (0.95 * index + 0.95)}
      class=${index === 0 ? "rps" : ""}>${line === third && edge.errors ? html`<tspan class="errors">■ ${percent(edge.errors)}</tspan>${line.slice(2 + percent(edge.errors).length)}` : line}</text>`)}
  </g>`;
}

const pressed = (act) => (event) => {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); act(); }
};

// Node → what is wrong there: who ejected it, whose breaker to it overflows.
function troubled({ hosts, breakers, nodes }) {
  const found = new Map();
  const add = (name, text) => found.set(name, [...(found.get(name) || []), text]);
  const ejected = new Map();
  for (const host of Object.values(hosts)) {
    if (!host.healthy) ejected.set(host.name || host.address, Math.max(ejected.get(host.name || host.address) || 0, host.left || 0));
  }
  for (const [name, left] of ejected) add(name, left ? `ejected ${Math.ceil(left)} s` : "ejected");
  for (const breaker of Object.values(breakers)) {
    if (Object.values(breaker.limits).some((limit) => limit.rate > 0)) add(breaker.client, "overflow");
  }
  return found;
}

// Places in pixels. Wide screens go from left to right, tall ones from top to bottom.
function draw(nodes, edges, [width, height, font]) {
  const list = Object.entries(nodes).map(([id, node]) => ({ id, node }));
  if (!width || !list.length) return { nodes: [], edges: [], width, height, em: 13 };
  const layers = 1 + Math.max(...list.map(({ node }) => node.layer));
  const rows = Array(layers).fill(0);
  for (const { node } of list) rows[node.layer] += 1;
  for (const { bends } of Object.values(edges)) for (const [layer] of bends) rows[layer] += 0.5;
  const most = Math.max(...rows);
  const across = width > 620 || width > height * 1.1;
  // In em: boxes as wide as the longest name, and room for a label between two layers.
  const box = Math.max(6.4, Math.min(13, 1 + 0.63 * Math.max(...list.map(({ node }) => node.name.length))));
  const needed = across ? layers * box + (layers - 1) * 7.4 + 1.6 : most * Math.min(box, 7.4);
  const em = Math.max(10.5, Math.min(font * 0.95, width / needed));
  const wide = across ? Math.max(width, needed * em) : Math.max(width, most * 6.6 * em);
  const boxWidth = em * (across ? box : Math.min(box, wide / most / em - 0.7)), boxHeight = em * 3.1;
  const pitch = across ? em * 4.3 : em * 8.2;
  const tall = Math.max(height, (across ? most : layers) * pitch + em);
  const pad = em * 0.8, deep = across ? boxWidth : boxHeight, length = across ? wide : tall;
  const place = (layer, aside) => {
    const along = pad + deep / 2 + (layers === 1 ? 0.5 : layer / (layers - 1)) * (length - deep - 2 * pad);
    return across ? [along, pad + aside * (tall - 2 * pad)] : [aside * wide, along];
  };
  const at = new Map(list.map(({ id, node }) => [id, place(node.layer, node.across)]));
  const leaving = count(Object.values(edges), "source"), arriving = count(Object.values(edges), "target");
  const drawn = Object.entries(edges).filter(([, edge]) => at.has(edge.source) && at.has(edge.target)).map(([id, edge]) => {
    const bends = edge.bends.map(([layer, aside]) => place(layer, aside));
    const curve = curved([at.get(edge.source), ...bends, at.get(edge.target)], boxWidth, boxHeight, across);
    const out = leaving.get(edge.source), into = arriving.get(edge.target);
    const t = out > into ? 0.6 : out < into ? 0.4 : 0.5;
    return { id, edge, curve, label: point(curve, t), width: 1.4 + Math.min(4, Math.log10(1 + edge.rps) * 1.5) };
  });
  spread(drawn, [...at.values()], em, boxWidth);
  return {
    width: wide, height: tall, em, brief: drawn.length > 16, edges: drawn,
    nodes: list.map(({ id, node }) => ({ id, node, x: at.get(id)[0], y: at.get(id)[1], width: boxWidth, height: boxHeight })),
  };
}

function count(edges, end) {
  const found = new Map();
  for (const edge of edges) found.set(edge[end], (found.get(edge[end]) || 0) + 1);
  return found;
}

// Through every place on the way: level where it leaves, passes a layer and arrives.
function curved(places, width, height, across) {
  const [[x0, y0], [x1, y1]] = [places[0], places.at(-1)];
  const half = (across ? width : height) / 2, from = across ? x0 : y0, to = across ? x1 : y1;
  if (to <= from + half) { // back, or within the layer: round the outside
    const out = across ? width * 0.5 : height * 1.6, side = Math.sign(y1 - y0) || 1;
    return across
      ? [x0 + half, y0, x0 + half + out, y0 + side * height, x1 + half + out, y1 - side * height, x1 + half + 1, y1]
      : [x0 + width / 2, y0, x0 + width / 2 + out, y0, x1 + width / 2 + out, y1, x1 + width / 2 + 1, y1];
  }
  const turn = (along, aside) => (across ? [along, aside] : [aside, along]);
  const line = [...turn(from + half, across ? y0 : x0)];
  let [along, aside] = [from + half, across ? y0 : x0];
  const go = (nextAlong, nextAside) => {
    const bend = Math.max(14, (nextAlong - along) * 0.45);
    line.push(...turn(along + bend, aside), ...turn(nextAlong - bend, nextAside), ...turn(nextAlong, nextAside));
    [along, aside] = [nextAlong, nextAside];
  };
  for (const [x, y] of places.slice(1, -1)) { // straight past the boxes of that layer
    go((across ? x : y) - half, across ? y : x);
    go((across ? x : y) + half, across ? y : x);
  }
  go(to - half - 1, across ? y1 : x1);
  return line;
}

// Labels that lie on each other, or on a box, move along their lines.
function spread(edges, boxes, em, boxWidth) {
  const placed = [];
  const tries = [0, 0.08, -0.08, 0.16, -0.16, 0.24, -0.24, 0.32, -0.32];
  const overlap = (x, y, width, height) => ([a, b]) => Math.max(0, width - Math.abs(a - x)) * Math.max(0, height - Math.abs(b - y));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  for (const edge of [...edges].sort((a, b) => b.edge.rps - a.edge.rps || (a.id < b.id ? -1 : 1))) {
    const base = nearest(edge);
    let best = null;
    for (const step of tries) {
      const t = Math.min(0.88, Math.max(0.12, base + step));
      const [x, y] = point(edge.curve, t);
      const clash = sum(placed.map(overlap(x, y, 6 * em, 3 * em))) + sum(boxes.map(overlap(x, y, boxWidth / 2 + 2.4 * em, 3 * em)));
      if (best === null || clash < best.clash - 1) best = { clash, at: [x, y] };
      if (!clash) break;
    }
    edge.label = best.at;
    placed.push(best.at);
  }
}

const nearest = ({ curve, label }) => [0.4, 0.5, 0.6].reduce((best, t) => {
  const [x, y] = point(curve, t), [a, b] = point(curve, best);
  return Math.hypot(x - label[0], y - label[1]) < Math.hypot(a - label[0], b - label[1]) ? t : best;
}, 0.5);
