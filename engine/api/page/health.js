// The health of the engine: feeds, latency, rate budget, clock, journal, gaps and failures.

import { get } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { age, clock } from "./format.js";
import { gapColumns } from "./market.js";
import { state, touch, watch } from "./state.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

const POLL_MS = 2000;

export function startHealth(isVisible) {
  const feeds = new Table(byId("feeds"), {
    name: "Feeds and gateways", key: (row) => row.name, empty: "No feed.",
    columns: [
      { title: "Name", width: "10rem", text: (row) => row.name },
      { title: "State", width: "5.5rem", text: (row) => row.state, tone: (row) => (["up", "running"].includes(row.state) ? "up" : "warn") },
      { title: "Heard", width: "6rem", numeric: true, text: (row) => (row.heard_ms ? `${age(state.at - row.heard_ms)} ago` : "–") },
      { title: "Late", width: "5rem", numeric: true, text: (row) => (row.lag_ms ? `${row.lag_ms} ms` : "–") },
      { title: "Downs", width: "4rem", numeric: true, text: (row) => String(row.downs) },
      { title: "Since", width: "9rem", text: (row) => clock(row.since_ms, true) },
      { title: "Reason", width: "16rem", text: (row) => row.reason, hint: (row) => row.reason },
      whyColumn(),
    ],
  });
  const gaps = new Table(byId("gaps"), { name: "Gaps", key: (row) => row.seq, empty: "No gap.", columns: gapColumns() });
  const failures = new Table(byId("failures"), {
    name: "Failures", key: (row) => row[1], empty: "No actor failed.",
    columns: [
      { title: "UTC", width: "10rem", text: (row) => clock(row[0], true) },
      { title: "Actor", width: "10rem", text: (row) => row[2] },
      { title: "Error", text: (row) => row[3], hint: (row) => row[3] },
      whyColumn((row) => row[1]),
    ],
  });
  const values = new Map();
  watch(["health", "status", "seq"], () => state.health && showLines(values));
  watch(["feeds", "health"], () => feeds.update([...state.feeds.values()]));
  watch(["gaps"], () => gaps.update(state.gaps));
  watch(["health"], () => failures.update(state.health?.failures ?? []));
  setInterval(async () => {
    if (document.hidden || !isVisible() || state.recorded) return;
    try {
      state.health = await get("health");
      for (const row of state.health.feeds) state.feeds.set(row.name, row);
      touch("health", "feeds");
    } catch {
      // The line at the top says that the engine cannot be reached.
    }
  }, POLL_MS);
}

function showLines(values) {
  const { health, status } = state;
  const { journal, ...others } = health.lines;
  const lines = {
    "Journal": `${journal || `seq ${state.seq}`}; ${health.records} records seen`,
    "Day": status.day,
    "Session": status.session,
    "Version": status.version,
    "Lag": `${health.lag_ms} ms${health.lag_handler ? ` (${health.lag_handler})` : ""}`,
    "Clock": health.clock_offset_ms === null ? "not measured" : `venue ${health.clock_offset_ms} ms ahead, at ${clock(health.clock_checked_ms)}`,
    "Commands to the venue": budget(health.commands_minute, health.requests_minute_max),
    "Approved orders": budget(health.approvals_minute, health.orders_minute_max),
    "Account": health.unreconciled
      ? `not reconciled: ${health.unreconciled}`
      : health.reconciled_ms ? `reconciled ${clock(health.reconciled_ms, true)}` : status.mode === "paper" ? "none: paper trading" : "not read yet",
    ...Object.fromEntries(Object.entries(others).map(([name, text]) => [name[0].toUpperCase() + name.slice(1), text])),
  };
  for (const [name, text] of Object.entries(lines)) {
    if (!values.has(name)) {
      values.set(name, element("dd"));
      byId("health-lines").append(element("dt", { text: name }), values.get(name));
    }
    setText(values.get(name), text);
  }
}

const budget = (used, most) => `${used} in the last minute${most ? ` of ${most}` : ""}`;
