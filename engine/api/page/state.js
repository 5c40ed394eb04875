// What the page knows: rows of answers, kept current by messages. Panels ask for topics and are drawn at most
// once a frame.

import { get } from "./api.js";
import { isZero } from "./format.js";

const FILLS_MAX = 500;
const ENDED_MAX = 200;
const ROWS_MAX = 200;
const POINTS_MAX = 5000;

export const state = {
  status: null,
  recorded: false,
  readOnly: false,
  looksOnly: false,
  instruments: new Map(),
  positions: new Map(),
  working: new Map(),
  ended: [],
  refusals: [],
  fills: [],
  commands: [],
  strategies: new Map(),
  feeds: new Map(),
  gaps: [],
  health: null,
  account: null,
  equity: [],
  seq: 0,
  at: 0,
};

const watchers = new Map();
const dirty = new Set();
let scheduled = false;

// `call()` draws what depends on `topics`.
export function watch(topics, call) {
  for (const topic of topics) {
    if (!watchers.has(topic)) watchers.set(topic, new Set());
    watchers.get(topic).add(call);
  }
}

export function touch(...topics) {
  for (const topic of topics) dirty.add(topic);
  if (scheduled) return;
  scheduled = true;
  // A hidden tab draws nothing; a timer keeps the topics from piling up.
  if (document.hidden) setTimeout(draw, 1000);
  else requestAnimationFrame(draw);
}

function draw() {
  scheduled = false;
  const calls = new Set();
  for (const topic of dirty) for (const call of watchers.get(topic) ?? []) calls.add(call);
  dirty.clear();
  for (const call of calls) call();
}

const messages = new Map();

// Other modules take messages that concern only them, such as bars.
export function onMessage(kind, call) {
  if (!messages.has(kind)) messages.set(kind, []);
  messages.get(kind).push(call);
}

const keyOfPosition = (row) => `${row.instrument}\n${row.owner}`;
const keyOfOrder = (row) => row.id || `${row.owner}\n${row.instrument}\n${row.handle}`;
export { keyOfOrder, keyOfPosition };

export function priceOf(instrument) {
  return state.instruments.get(instrument)?.price ?? null;
}

function stand(answer) {
  if (answer.seq >= state.seq) {
    state.seq = answer.seq;
    state.at = answer.at_ms;
  }
}

const byKey = (rows, key) => new Map(rows.map((row) => [key(row), row]));

// Reads everything. Messages that arrive meanwhile are applied afterwards; rows are whole, so a repeat is harmless.
export async function loadAll() {
  const names = ["status", "instruments", "positions", "orders", "fills", "equity", "strategies", "health", "gaps"];
  const read = await Promise.all(names.map((name) => get(name, name === "fills" ? { limit: FILLS_MAX } : {})));
  const [status, instruments, positions, orders, fills, equity, strategies, health, gaps] = read;
  if (state.recorded) Object.assign(state, { seq: 0, at: 0, commands: [] });
  setStatus(status);
  state.instruments = byKey(instruments.instruments, (row) => row.instrument);
  state.positions = byKey(positions.positions, keyOfPosition);
  state.working = byKey(orders.working, keyOfOrder);
  state.ended = orders.ended;
  state.refusals = orders.refusals;
  state.fills = [...fills.fills].reverse();
  state.account = equity.account;
  state.equity = equity.points;
  state.strategies = byKey(strategies.strategies, (row) => row.name);
  state.health = health;
  state.feeds = byKey(health.feeds, (row) => row.name);
  state.gaps = gaps.gaps;
  stand(gaps);
  touch("status", "instruments", "prices", "positions", "orders", "fills", "equity", "equity-all", "strategies",
    "health", "feeds", "gaps", "refusals", "commands", "loaded");
  return Math.min(...read.map((answer) => answer.seq));
}

export function setStatus(status) {
  state.status = status;
  state.recorded = status.recorded === true;
  state.readOnly = state.looksOnly || status.read_only === true;
  state.account = status.account ?? state.account;
  if (status.commands) for (const row of [...status.commands].reverse()) putCommand(row);
  stand(status);
  touch("status", "commands");
}

function putFirst(rows, row, same, max) {
  const found = rows.findIndex(same);
  if (found >= 0) rows[found] = row;
  else rows.unshift(row);
  if (rows.length > max) rows.length = max;
}

export function putCommand(row) {
  putFirst(state.commands, row, (one) => one.seq === row.seq, ROWS_MAX);
  touch("commands");
}

const ENDED = new Set(["Filled", "Canceled", "Rejected", "fired", "dropped"]);

const apply = {
  hello(data) {
    if (state.status) state.status.armed = data.armed;
    touch("status");
  },
  status: setStatus,
  price(row) {
    const instrument = state.instruments.get(row.instrument);
    if (!instrument) return;
    instrument.price = row;
    touch("prices");
  },
  position(row) {
    if (isZero(row.size) && isZero(row.wanted)) state.positions.delete(keyOfPosition(row));
    else state.positions.set(keyOfPosition(row), row);
    touch("positions");
  },
  order(row) {
    const key = keyOfOrder(row);
    if (isWorking(row)) state.working.set(key, row);
    else {
      state.working.delete(key);
      if (ENDED.has(row.state)) putFirst(state.ended, row, (one) => keyOfOrder(one) === key, ENDED_MAX);
    }
    touch("orders");
  },
  refusal(row) {
    putFirst(state.refusals, row, (one) => one.seq === row.seq, ROWS_MAX);
    touch("refusals");
  },
  fill(row) {
    putFirst(state.fills, row, (one) => one.seq === row.seq && one.owner === row.owner, FILLS_MAX);
    touch("fills");
  },
  equity(row) {
    state.account = row;
    if (row.equity !== null && row.at_ms) {
      const last = state.equity.at(-1);
      if (!last || last.at_ms < row.at_ms) {
        state.equity.push({ at_ms: row.at_ms, equity: row.equity, drawdown: row.drawdown ?? "0", seq: row.seq });
        if (state.equity.length > POINTS_MAX) state.equity.splice(0, state.equity.length - POINTS_MAX);
      }
    }
    touch("equity");
  },
  strategy(row) {
    state.strategies.set(row.name, row);
    touch("strategies");
  },
  feed(row) {
    state.feeds.set(row.name, row);
    touch("feeds");
  },
  gap(row) {
    putFirst(state.gaps, row, (one) => one.seq === row.seq, ROWS_MAX);
    touch("gaps");
  },
  command: putCommand,
};

export function isWorking(row) {
  // A stop of the engine that the venue holds for it has nothing left to do itself.
  return !ENDED.has(row.state) && !(row.held === "engine" && isZero(row.left));
}

export function applyMessage(kind, data, seq) {
  if (seq !== null && seq > state.seq) state.seq = seq;
  const at = data?.at_ms ?? data?.price_ms ?? data?.book_ms ?? 0;
  if (at > state.at) state.at = at;
  apply[kind]?.(data);
  for (const call of messages.get(kind) ?? []) call(data);
  touch("seq");
}
