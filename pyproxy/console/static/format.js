// Numbers and times as text.

export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)}k`;
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(0) : value.toFixed(1);
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

// Never 0 % for a few and never 100 % for almost all.
export function percent(share) {
  const value = 100 * share;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.1) return "< 0.1 %";
  return value < 10 || value > 99 ? `${value.toFixed(1)} %` : `${value.toFixed(0)} %`;
}

export function bytes(value) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB") return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
    value /= 1000;
  }
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

// The quantile of a histogram as Prometheus computes it: linear within a bucket.
export function quantile(bounds, buckets, share) {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  const rank = share * total;
  let below = 0, lower = 0;
  for (let index = 0; index < bounds.length; index++) {
    const count = buckets[index] || 0;
    if (count && below + count >= rank) return lower + (bounds[index] - lower) * (rank - below) / count;
    below += count;
    lower = bounds[index];
  }
  return lower;
}

// Envoy's response flags in words.
export const FLAGS = {
  DC: "the client went away", DI: "a delay was injected", DPE: "the client sent what is no HTTP",
  FI: "an abort was injected", LR: "the proxy reset the connection", NC: "no such cluster", NR: "no route matches",
  RL: "rate limited", SI: "the stream was idle for too long", UAEX: "the external authorizer refused",
  UC: "the service closed the connection", UF: "no connection to the service", UH: "no healthy host",
  UO: "overflow: a breaker's ceiling was reached", UPE: "the service sent what is no HTTP",
  UR: "the service reset the stream", URX: "every retry was used up", UT: "timeout",
};

export const OUTCOMES = {
  ok: ["●", "answered"], client: ["▲", "4xx: the caller's fault"],
  server: ["■", "5xx: the service failed"], mesh: ["✕", "a proxy answered in its place"],
};
