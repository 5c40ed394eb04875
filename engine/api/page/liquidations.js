// Liquidations of a market: the heat map and the markers on its candles, and the newest of them as rows.

import { get } from "./api.js";
import { add, compare, parse, text as write } from "./decimal.js";
import { byId, setOptions, setText } from "./dom.js";
import { clock, plain } from "./format.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

const OFF = "off";
const LABELS_MAX = 10;
const closed = (row) => (row.side === "sell" ? "long" : "short");

export class Liquidations {
  // `redraw()` is called when another heat map is chosen.
  constructor(redraw) {
    this.known = null;
    this.select = byId("heat-interval");
    this.off = false;
    this.select.addEventListener("change", () => {
      this.off = this.select.value === OFF;
      redraw();
    });
    this.table = new Table(byId("liquidations"), {
      name: "Liquidations", key: (row) => row.seq, empty: "None that the venue has shown.",
      columns: [
        { title: "UTC", width: "5rem", text: (row) => clock(row.at_ms) },
        { title: "Closed", width: "4rem", text: closed, tone: (row) => `${closed(row)}s` },
        { title: "Price", width: "7rem", numeric: true, text: (row) => plain(row.price) },
        { title: "Size", width: "6rem", numeric: true, text: (row) => plain(row.size) },
        whyColumn(),
      ],
    });
  }

  async load(instrument, current) {
    const interval = this.select.value === OFF || this.known?.instrument !== instrument ? "" : this.select.value;
    let found = null;
    try {
      found = await get("liquidations", { instrument, interval });
    } catch {
      // The interval is not there any more, or the engine cannot be reached: the line at the top says so.
    }
    if (!current()) return;
    this.known = found;
    const intervals = found?.intervals ?? [];
    setOptions(this.select, intervals.length ? [...intervals, OFF] : [OFF], found?.interval || OFF);
    if (intervals.length && !this.off && this.select.value === OFF) this.select.value = found.interval;
    const rows = found?.liquidations ?? [];
    this.table.update([...rows].reverse());
    const notes = [];
    if (rows.some((row) => row.sampled)) notes.push("The venue shows only some.");
    if (!intervals.length) notes.push("A heat map of them is built by [flow] liquidations of the configuration.");
    setText(byId("liquidations-note"), notes.join(" "));
  }

  // The windows of the heat map that is chosen.
  get windows() {
    return this.select.value === OFF ? [] : this.known?.windows ?? [];
  }

  // One marker for each bar and side; the largest show the sum of their sizes. `barOf(at_ms)` is the start of a bar, or null.
  markers(barOf) {
    const sums = new Map();
    for (const row of this.known?.liquidations ?? []) {
      const bar = barOf(row.at_ms);
      if (bar === null) continue;
      const key = `${bar} ${row.side}`;
      const sum = sums.get(key) ?? { bar, row, size: { units: 0n, scale: 0 } };
      sum.size = add(sum.size, parse(row.size));
      sums.set(key, sum);
    }
    const found = [...sums.values()].sort((a, b) => -compare(a.size, b.size));
    return found.map(({ bar, row, size }, index) => ({
      at_ms: bar, place: row.side === "sell" ? "below" : "above", shape: "circle", tone: `${closed(row)}s`,
      text: index < LABELS_MAX ? plain(write(size)) : "",
    }));
  }
}
