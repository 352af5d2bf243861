// Requests as dots that travel along the edges, on a canvas: a shape and a colour for each outcome.

const TRAVEL_SECONDS = 1.6;
const MOST_A_SECOND = 90; // over all edges; beyond it a dot stands for several requests
const KINDS = ["ok", "client", "server", "mesh"];

export class Dots {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.edges = new Map();
    this.dots = [];
    this.frame = 0;
    this.last = 0;
    this.size = 4;
  }

  // edges: [{id, curve: [x0, y0, x1, y1, ...], outcomes: {ok: rps, ...}}]
  update(edges, width, height, size) {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    this.ratio = ratio;
    this.size = size;
    let total = 0;
    const next = new Map();
    for (const edge of edges) {
      const known = this.edges.get(edge.id);
      next.set(edge.id, { ...edge, due: known ? known.due : {} });
      for (const kind of KINDS) total += edge.outcomes[kind] || 0;
    }
    this.edges = next;
    this.each = Math.max(1, total / MOST_A_SECOND);
    const style = getComputedStyle(this.canvas);
    this.colours = Object.fromEntries(KINDS.map((kind) => [kind, style.getPropertyValue(`--${kind}`).trim()]));
    this.rim = style.getPropertyValue("--card").trim();
  }

  start() {
    if (!this.frame) { this.last = 0; this.frame = requestAnimationFrame((now) => this.tick(now)); }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.dots = [];
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  tick(now) {
    this.frame = requestAnimationFrame((next) => this.tick(next));
    const passed = this.last ? Math.min(0.2, (now - this.last) / 1000) : 0;
    this.last = now;
    for (const [id, edge] of this.edges) {
      for (const kind of KINDS) {
        const rate = (edge.outcomes[kind] || 0) / this.each;
        if (!rate) continue;
        // What is rare is shown all the same: at least one dot in four seconds.
        edge.due[kind] = (edge.due[kind] ?? Math.random()) + passed * Math.max(rate, 0.25);
        while (edge.due[kind] >= 1) {
          edge.due[kind] -= 1;
          this.dots.push({ id, kind, at: Math.random() * -0.05 });
        }
      }
    }
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.lineWidth = 1.2;
    this.dots = this.dots.filter((dot) => {
      const edge = this.edges.get(dot.id);
      if (!edge) return false;
      dot.at += passed / (TRAVEL_SECONDS * (1 + (edge.curve.length - 8) / 9)); // long lines take longer
      if (dot.at >= 1) return false;
      if (dot.at > 0) this.draw(dot.kind, ...point(edge.curve, dot.at));
      return true;
    });
  }

  draw(kind, x, y) {
    const { context, size } = this;
    context.fillStyle = context.strokeStyle = this.colours[kind];
    context.beginPath();
    if (kind === "ok") context.arc(x, y, size * 0.85, 0, 7);
    else if (kind === "client") {
      const r = size * 1.35;
      context.moveTo(x, y - r); context.lineTo(x + r, y + r * 0.8); context.lineTo(x - r, y + r * 0.8); context.closePath();
    } else if (kind === "server") context.rect(x - size, y - size, 2 * size, 2 * size);
    else {
      const r = size * 1.1;
      context.lineWidth = size * 0.75;
      context.moveTo(x - r, y - r); context.lineTo(x + r, y + r); context.moveTo(x + r, y - r); context.lineTo(x - r, y + r);
      context.stroke();
      context.lineWidth = 1.2;
      return;
    }
    context.fill();
    context.strokeStyle = this.rim;
    context.stroke();
  }
}

// A place on a line of one or more curves, t from 0 to 1: x0 y0, then three pairs for each curve.
export function point(line, t) {
  const curves = (line.length - 2) / 6, index = Math.min(curves - 1, Math.floor(t * curves));
  const [x0, y0, x1, y1, x2, y2, x3, y3] = line.slice(6 * index, 6 * index + 8);
  const v = t * curves - index, u = 1 - v, a = u * u * u, b = 3 * u * u * v, c = 3 * u * v * v, d = v * v * v;
  return [a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3];
}
