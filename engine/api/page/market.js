// One market: candles with what belongs on them, quotes, book, trades, and order flow.

import { get } from "./api.js";
import { CandleChart } from "./chart.js";
import { Contexts } from "./contexts.js";
import { byId, element, setOptions, setText } from "./dom.js";
import { showFlow, startFlow } from "./flow.js";
import { clock, money, plain, tone } from "./format.js";
import { Liquidations } from "./liquidations.js";
import { keyOfOrder, onMessage, priceOf, state, touch, watch } from "./state.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

const BARS_MAX = 1000;
const POLL_MS = 1000;
const FLOW_EVERY = 5;
const MARKERS_MAX = 300;

const shown = { instrument: "", interval: "", bars: null, signals: [], flow: null, more: false, loading: 0 };
let chart = null;
let contexts = null;
let liquidations = null;

export const shownInstrument = () => shown.instrument;

export function startMarket(isVisible) {
  chart = new CandleChart(byId("market-chart"), { ranged: showRange, older: loadOlder });
  contexts = new Contexts();
  liquidations = new Liquidations(() => loadFlow());
  startFlow(() => showFlow(shown, range));
  byId("market-instrument").addEventListener("change", () => choose(byId("market-instrument").value));
  byId("market-interval").addEventListener("change", () => choose(shown.instrument, byId("market-interval").value));
  startQuotes();
  startBook();
  const trades = startTrades();
  const gaps = startGaps();
  watch(["loaded", "instruments"], () => {
    const names = [...state.instruments.keys()];
    setOptions(byId("market-instrument"), names);
    if (names.length) choose(state.instruments.has(shown.instrument) ? shown.instrument : byId("market-instrument").value, shown.interval, true);
  });
  watch(["gaps", "market"], () => gaps.update(state.gaps.filter((row) => !row.instrument || row.instrument === shown.instrument)));
  watch(["orders", "positions", "market"], drawLines);
  watch(["fills", "gaps", "market", "liquidations"], drawMarkers);
  watch(["market-signals"], drawSignals);
  onMessage("bar", (message) => {
    learnInterval(message);
    if (message.instrument !== shown.instrument || message.interval !== shown.interval) return;
    chart.putBar(message.bar);
    if (!message.forming) touch("market");
  });
  onMessage("signal", (row) => {
    if (row.instrument && row.instrument !== shown.instrument) return;
    addSignal(row);
    if (!chart.addSignal(`${row.strategy}.${row.name}`, row.at_ms, row.value)) touch("market-signals");
  });
  watch(["view"], () => isVisible() && shown.instrument && loadFlow());
  let turn = 0;
  let polled = "";
  setInterval(() => {
    turn += 1;
    if (document.hidden || !shown.instrument || !isVisible()) return;
    // A moment of a recorded day does not change.
    const moment = `${shown.instrument} ${state.seq}`;
    if (state.recorded && polled === moment) return;
    polled = moment;
    loadTrades(trades);
    if (turn % FLOW_EVERY === 0) loadFlow();
  }, POLL_MS);
}

const LENGTHS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, M: 2_592_000 };
const lengthOf = (interval) => Number.parseInt(interval, 10) * (LENGTHS[interval.at(-1)] ?? 0);

// At the start of a session there are no bars yet: an interval is known with its first one.
function learnInterval({ instrument, interval }) {
  const row = state.instruments.get(instrument);
  if (!row || row.intervals.includes(interval)) return;
  row.intervals = [...row.intervals, interval].sort((a, b) => lengthOf(a) - lengthOf(b));
  if (instrument !== shown.instrument) return;
  if (shown.interval) setOptions(byId("market-interval"), row.intervals, shown.interval);
  else choose(instrument, interval, true);
}

export async function choose(instrument, interval, again = false) {
  const row = state.instruments.get(instrument);
  if (!row) return;
  const wanted = row.intervals.includes(interval) ? interval : row.intervals[0] ?? "";
  if (!again && instrument === shown.instrument && wanted === shown.interval) return;
  shown.instrument = instrument;
  shown.interval = wanted;
  byId("market-instrument").value = instrument;
  setOptions(byId("market-interval"), row.intervals, wanted);
  if (wanted) byId("market-interval").value = wanted;
  chart.precision(row.price_scale, row.price_step);
  touch("market", "prices");
  const turn = ++shown.loading;
  const current = () => turn === shown.loading;
  try {
    const [bars, signals, book] = await Promise.all([
      wanted ? get("bars", { instrument, interval: wanted, limit: BARS_MAX }) : null,
      get("signals", {}),
      get("book", { instrument }),
    ]);
    if (!current()) return;
    const rows = bars ? [...bars.bars, ...(bars.forming ? [bars.forming] : [])] : [];
    shown.more = bars?.more ?? false;
    shown.spans = bars?.gaps ?? [];
    chart.setBars(rows, again && chart.bars.size > 0);
    shown.signals = signals.series.filter((one) => !one.instrument || one.instrument === instrument);
    drawBook(book);
    touch("market", "market-signals");
    await loadFlow(true);
  } catch (error) {
    if (current()) setText(byId("chart-note"), error.message);
  }
}

async function loadOlder() {
  if (!shown.more || shown.older || !chart.bars.size) return;
  shown.older = true;
  const { instrument, interval } = shown;
  try {
    const first = chart.bars.keys().next().value;
    const bars = await get("bars", { instrument, interval, before_ms: first, limit: BARS_MAX });
    if (instrument !== shown.instrument || interval !== shown.interval) return;
    shown.more = bars.more && bars.bars.length > 0;
    shown.spans = [...bars.gaps, ...(shown.spans ?? [])];
    chart.setBars([...bars.bars, ...chart.bars.values()], true);
    touch("market");
  } catch (error) {
    setText(byId("chart-note"), error.message);
  } finally {
    shown.older = false;
  }
}

// `whole`: also what does not change, such as old points of series.
async function loadFlow(whole = false) {
  const row = state.instruments.get(shown.instrument);
  if (!row) return;
  const { instrument } = shown;
  const current = () => instrument === shown.instrument;
  loadForced(instrument, current);
  contexts.load(instrument, whole, current);
  const interval = row.footprints.includes(shown.interval) ? shown.interval : row.footprints[0] ?? row.profiles[0] ?? "";
  try {
    shown.flow = await get("flow", { instrument: shown.instrument, interval });
  } catch {
    shown.flow = null;
  }
  showFlow(shown, range);
  touch("market-signals");
}

async function loadForced(instrument, current) {
  await liquidations.load(instrument, current);
  if (!current()) return;
  chart.heat.set(liquidations.windows);
  touch("liquidations");
}

const range = { from: 0, to: 0 };
function showRange(from, to) {
  range.from = from;
  range.to = to;
  if (shown.flow) showFlow(shown, range);
}

function drawLines() {
  const lines = [];
  for (const row of state.working.values()) {
    const price = row.trigger_price ?? row.price;
    if (row.instrument !== shown.instrument || price === null) continue;
    lines.push({
      id: keyOfOrder(row), price, dashed: Boolean(row.trigger),
      title: `${row.trigger ? row.purpose || row.kind : row.side} ${plain(row.left)}`,
      tone: row.trigger ? "warn" : row.side === "buy" ? "up" : "down",
    });
  }
  for (const row of state.positions.values()) {
    if (row.instrument !== shown.instrument || row.entry === null) continue;
    lines.push({ id: `entry ${row.owner}`, price: row.entry, title: `${row.owner} ${plain(row.size)}`, tone: "accent", dashed: true });
  }
  chart.setLines(lines);
}

function drawMarkers() {
  const markers = [];
  for (const row of state.fills.slice(0, MARKERS_MAX)) {
    if (row.instrument !== shown.instrument) continue;
    const buy = row.side === "buy";
    markers.push({
      at_ms: row.at_ms, place: buy ? "below" : "above", shape: buy ? "arrowUp" : "arrowDown",
      tone: buy ? "up" : "down", text: row.why === "liquidation" ? `liquidation ${plain(row.size)}` : plain(row.size),
    });
  }
  markers.push(...liquidations.markers((at) => chart.barOf(at)));
  for (const span of shown.spans ?? []) {
    markers.push({ at_ms: span.from_ms, place: "above", shape: "square", tone: "gap", text: span.what });
  }
  chart.setMarkers(markers);
  const incomplete = [...chart.bars.values()].filter((bar) => bar.incomplete).length;
  const notes = [`${chart.bars.size} bars`];
  if (incomplete) notes.push(`${incomplete} incomplete (grey)`);
  if (shown.spans?.length) notes.push(`${shown.spans.length} gaps marked`);
  setText(byId("chart-note"), notes.join(", "));
}

function addSignal(row) {
  let series = shown.signals.find((one) => one.strategy === row.strategy && one.name === row.name);
  if (!series) {
    series = { strategy: row.strategy, instrument: row.instrument, name: row.name, points: [] };
    shown.signals.push(series);
  }
  series.points.push([row.at_ms, row.value, row.seq]);
  if (series.points.length > 5000) series.points.splice(0, 1000);
}

function drawSignals() {
  const last = Number(priceOf(shown.instrument)?.last ?? 0);
  const near = (points) => {
    const value = points.findLast((point) => point[1] !== null)?.[1];
    return value !== undefined && last > 0 && Math.abs(value - last) < last / 2;
  };
  const series = shown.signals.map((one) => ({
    id: `${one.strategy}.${one.name}`, title: `${one.strategy} ${one.name}`, points: one.points,
    pane: near(one.points) ? 0 : 1,
  }));
  const footprints = shown.flow?.footprints ?? [];
  if (footprints.length) {
    series.push({
      id: "delta", title: "cumulative delta", pane: 2,
      points: footprints.map((row) => [row.start_ms, Number(row.day_delta)]),
    });
  }
  chart.setSignals(series);
}

const QUOTES = [
  ["Last", (price) => plain(price.last)],
  ["Bid", (price) => `${plain(price.bid)} × ${plain(price.bid_size)}`],
  ["Ask", (price) => `${plain(price.ask)} × ${plain(price.ask_size)}`],
  ["Mark", (price) => plain(price.mark)],
  ["Funding", (price) => (price.funding === null ? "–" : `${(price.funding * 100).toFixed(4)} %/h`)],
  ["Open interest", (price) => money(price.open_interest, 0)],
  ["At", (price) => clock(price.price_ms)],
];

function startQuotes() {
  const nodes = QUOTES.map(() => element("dd"));
  byId("quotes").replaceChildren(...QUOTES.map(([name], index) =>
    element("div", {}, element("dt", { text: name }), nodes[index])));
  watch(["prices", "market"], () => {
    const price = priceOf(shown.instrument);
    if (price) QUOTES.forEach(([, text], index) => setText(nodes[index], text(price)));
  });
}

const LEVELS = 15;
let bookRows = [];

function startBook() {
  const heads = ["Bid size", "Bid", "Ask", "Ask size"];
  const body = element("tbody");
  for (let level = 0; level < LEVELS; level += 1) {
    const cells = heads.map((_, index) => element("td", { class: "numeric", "data-tone": index < 2 ? "up" : "down" }));
    bookRows.push(cells);
    body.append(element("tr", {}, ...cells));
  }
  byId("book").tabIndex = 0;
  byId("book").replaceChildren(element("table", { "aria-label": "Book" },
    element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col", class: "numeric", text })))), body));
  onMessage("book", (message) => message.instrument === shown.instrument && drawBook(message));
  watch(["prices", "market"], () => {
    const price = priceOf(shown.instrument);
    if (price && !shown.depth) drawLevels([[price.bid, price.bid_size]], [[price.ask, price.ask_size]]);
  });
}

function drawBook(book) {
  shown.depth = book.depth ?? true;
  if (shown.depth) drawLevels(book.bids, book.asks);
}

function drawLevels(bids, asks) {
  bookRows.forEach((cells, index) => {
    const [bid, bidSize] = bids[index] ?? ["", ""];
    const [ask, askSize] = asks[index] ?? ["", ""];
    [bidSize, bid, ask, askSize].forEach((text, at) => setText(cells[at], text ? plain(text) : ""));
  });
}

function startTrades() {
  return new Table(byId("trades"), {
    name: "Trades", key: (row) => row.seq, empty: "No trade yet.",
    columns: [
      { title: "UTC", width: "5rem", text: (row) => clock(row.at_ms) },
      { title: "Price", width: "7rem", numeric: true, text: (row) => plain(row.price), tone: (row) => (row.side === "buy" ? "up" : row.side === "sell" ? "down" : "") },
      { title: "Size", width: "6rem", numeric: true, text: (row) => plain(row.size) },
      { title: "Taker", width: "3.5rem", text: (row) => row.side },
      whyColumn(),
    ],
  });
}

async function loadTrades(table) {
  const instrument = shown.instrument;
  try {
    const answer = await get("trades", { instrument, limit: 50 });
    if (instrument === shown.instrument) table.update(answer.trades);
  } catch {
    // The line at the top says that the engine cannot be reached.
  }
}

function startGaps() {
  return new Table(byId("market-gaps"), {
    name: "Gaps of this market", key: (row) => row.seq, empty: "No gap.", columns: gapColumns(),
  });
}

export function gapColumns() {
  return [
    { title: "From (UTC)", width: "10rem", text: (row) => clock(row.from_ms, true) },
    { title: "To", width: "5.5rem", text: (row) => clock(row.to_ms) },
    { title: "What", width: "5.5rem", text: (row) => row.what, tone: (row) => (row.closed ? "" : "warn") },
    { title: "Market", width: "7rem", text: (row) => row.instrument || row.feed },
    { title: "Reason", width: "16rem", text: (row) => row.reason, hint: (row) => row.reason },
    { title: "Closed", width: "4.5rem", text: (row) => (row.closed ? "yes" : "no") },
    whyColumn(),
  ];
}
