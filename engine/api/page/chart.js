// Charts, drawn by TradingView's Lightweight Charts. Only here numbers become floating point: for pixels.

import { money } from "./format.js";
import { HeatMap } from "./heat.js";

const Charts = globalThis.LightweightCharts;
const POINTS_MAX = 20_000;
const BARS_SHOWN_MAX = 120;
const BARS_SHOWN_MIN = 40;
const charts = new Set();

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seconds = (ms) => Math.floor(ms / 1000);

function options() {
  return {
    autoSize: true,
    layout: {
      background: { color: color("panel") }, textColor: color("text"), attributionLogo: true,
      panes: { separatorColor: color("edge") }, fontSize: 11,
    },
    grid: { vertLines: { color: color("grid") }, horzLines: { color: color("grid") } },
    timeScale: { timeVisible: true, secondsVisible: true, borderColor: color("edge"), rightOffset: 4 },
    rightPriceScale: { borderColor: color("edge") },
    crosshair: { mode: 0 },
  };
}

export function redraw() {
  for (const chart of charts) chart.paint();
}

export class EquityChart {
  constructor(host) {
    this.chart = Charts.createChart(host, options());
    const shared = { priceLineVisible: false, priceFormat: { type: "custom", formatter: (value) => money(value.toFixed(2)), minMove: 0.01 } };
    this.line = this.chart.addSeries(Charts.LineSeries, { ...shared, lineWidth: 2 });
    this.fall = this.chart.addSeries(Charts.AreaSeries, { ...shared, lineWidth: 1 }, 1);
    this.chart.panes()[0].setStretchFactor(2);
    this.chart.panes()[1].setStretchFactor(1);
    // The fall is drawn downwards from zero.
    this.fall.applyOptions({ autoscaleInfoProvider: (usual) => {
      const range = usual()?.priceRange;
      return { priceRange: { minValue: Math.min(range?.minValue ?? 0, -1e-9), maxValue: 0 } };
    } });
    this.fall.priceScale().applyOptions({ scaleMargins: { top: 0.02, bottom: 0.1 } });
    this.last = 0;
    this.count = 0;
    host.addEventListener("pointerenter", () => { this.over = true; });
    host.addEventListener("pointerleave", () => { this.over = false; });
    charts.add(this);
    this.paint();
  }

  paint() {
    this.chart.applyOptions(options());
    this.line.applyOptions({ color: color("accent") });
    this.fall.applyOptions({ lineColor: color("down"), topColor: color("down-soft"), bottomColor: color("down-soft"), invertFilledArea: true });
  }

  set(points) {
    const bySecond = new Map(points.map((point) => [seconds(point.at_ms), point]));
    const rows = [...bySecond].sort((a, b) => a[0] - b[0]);
    this.line.setData(rows.map(([time, point]) => ({ time, value: Number(point.equity) })));
    this.fall.setData(rows.map(([time, point]) => ({ time, value: -Number(point.drawdown) })));
    this.last = rows.at(-1)?.[0] ?? 0;
    this.count = rows.length;
    this.chart.timeScale().fitContent();
  }

  add(point) {
    if (!point || seconds(point.at_ms) < this.last) return;
    const time = seconds(point.at_ms);
    this.last = time;
    this.line.update({ time, value: Number(point.equity) });
    this.fall.update({ time, value: -Number(point.drawdown) });
    this.count += 1;
    if (!this.over) this.chart.timeScale().fitContent();
  }

  // Whether there are so many points that they should be set again from those that are kept.
  get isFull() {
    return this.count > POINTS_MAX;
  }
}

// Two lines over time, one above the other: amounts, and rates that `percent(rate)` writes. Settled rates are points;
// those of money for one unit have a scale of their own.
export class SeriesChart {
  constructor(host, percent) {
    this.chart = Charts.createChart(host, options());
    const shared = { lineWidth: 1, priceLineVisible: false };
    this.amounts = this.chart.addSeries(Charts.LineSeries, { ...shared, title: "open interest", priceFormat: { type: "volume" } });
    const rates = { ...shared, priceFormat: { type: "custom", formatter: percent, minMove: 1e-8 } };
    this.rates = this.chart.addSeries(Charts.LineSeries, { ...rates, title: "funding", lineType: 1 }, 1);
    this.settled = this.chart.addSeries(Charts.LineSeries, { ...rates, title: "settled", lineVisible: false, pointMarkersVisible: true }, 1);
    this.money = this.chart.addSeries(Charts.LineSeries, {
      ...shared, title: "settled for one unit", priceScaleId: "left", priceFormat: { type: "price", precision: 8, minMove: 1e-8 },
      lineVisible: false, pointMarkersVisible: true,
    }, 1);
    charts.add(this);
    this.paint();
  }

  paint() {
    this.chart.applyOptions(options());
    this.amounts.applyOptions({ color: color("accent") });
    this.rates.applyOptions({ color: color("line1") });
    this.settled.applyOptions({ color: color("line2") });
    this.money.applyOptions({ color: color("line3") });
  }

  // Each a list of [at_ms, value].
  set(amounts, rates, settled, money) {
    for (const [line, points] of [[this.amounts, amounts], [this.rates, rates], [this.settled, settled], [this.money, money]]) {
      const bySecond = new Map(points.map(([at, value]) => [seconds(at), value]));
      line.setData([...bySecond].sort((a, b) => a[0] - b[0]).map(([time, value]) => ({ time, value })));
    }
    this.chart.applyOptions({ leftPriceScale: { visible: money.length > 0, borderColor: color("edge") } });
    const size = amounts.length + rates.length + settled.length + money.length;
    if (!this.fitted && size) this.chart.timeScale().fitContent();
    this.fitted = size > 0;
  }
}

export class CandleChart {
  // `ranged(fromMs, toMs)` hears which span is visible; `older()` asks for bars before the first.
  constructor(host, { ranged, older }) {
    this.chart = Charts.createChart(host, options());
    this.candles = this.chart.addSeries(Charts.CandlestickSeries, {});
    this.volume = this.chart.addSeries(Charts.HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.markers = Charts.createSeriesMarkers(this.candles, []);
    this.heat = new HeatMap({ places: (from, to) => this.places(from, to), color });
    this.candles.attachPrimitive(this.heat);
    this.marked = [];
    this.bars = new Map();
    this.lines = new Map();
    this.signals = new Map();
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < 5) older();
      const shown = this.chart.timeScale().getVisibleRange();
      if (shown) ranged(shown.from * 1000, shown.to * 1000);
    });
    this.chart.timeScale().subscribeSizeChange(() => this.fit());
    charts.add(this);
    this.paint();
  }

  paint() {
    this.chart.applyOptions(options());
    this.candles.applyOptions({
      upColor: color("up"), downColor: color("down"), wickUpColor: color("up"), wickDownColor: color("down"),
      borderVisible: false,
    });
    this.setBars([...this.bars.values()], true);
    this.setMarkers(this.marked);
  }

  precision(decimals, step) {
    this.candles.applyOptions({ priceFormat: { type: "price", precision: decimals, minMove: Number(step) } });
  }

  candle(bar) {
    const gap = bar.incomplete ? { color: color("gap"), wickColor: color("gap") } : {};
    return {
      time: seconds(bar.start_ms), open: Number(bar.open), high: Number(bar.high), low: Number(bar.low),
      close: Number(bar.close), ...gap,
    };
  }

  column(bar) {
    const up = Number(bar.close) >= Number(bar.open);
    return { time: seconds(bar.start_ms), value: Number(bar.volume), color: color(up ? "up-soft" : "down-soft") };
  }

  setBars(bars, keepRange = false) {
    const range = keepRange && this.fitted ? this.chart.timeScale().getVisibleLogicalRange() : null;
    const before = this.bars.size;
    this.bars = new Map(bars.slice(-POINTS_MAX).sort((a, b) => a.start_ms - b.start_ms).map((bar) => [bar.start_ms, bar]));
    const rows = [...this.bars.values()];
    this.candles.setData(rows.map((bar) => this.candle(bar)));
    this.volume.setData(rows.map((bar) => this.column(bar)));
    this.times = null;
    const added = this.bars.size - before;
    if (range) this.chart.timeScale().setVisibleLogicalRange({ from: range.from + added, to: range.to + added });
    else this.fitted = false;
    this.fit();
  }

  // Shows the newest bars, once the chart has a size.
  fit() {
    if (this.fitted || !this.bars.size || !this.chart.timeScale().width()) return;
    this.fitted = true;
    const size = this.bars.size;
    const shown = Math.max(Math.min(size, BARS_SHOWN_MAX), BARS_SHOWN_MIN);
    this.chart.timeScale().setVisibleLogicalRange({ from: size - shown, to: size + 4 });
  }

  putBar(bar) {
    const newest = [...this.bars.keys()].at(-1) ?? 0;
    const earlier = bar.start_ms < newest;
    if (earlier && !this.bars.has(bar.start_ms)) {
      this.setBars([...this.bars.values(), bar], true);
      return;
    }
    if (!this.bars.has(bar.start_ms)) this.times = null;
    this.bars.set(bar.start_ms, bar);
    this.candles.update(this.candle(bar), earlier);
    this.volume.update(this.column(bar), earlier);
    if (this.bars.size > POINTS_MAX) this.setBars([...this.bars.values()], true);
  }

  // Lines at prices: {id, price, title, tone, dashed}.
  setLines(lines) {
    const present = new Set();
    for (const line of lines) {
      present.add(line.id);
      const wanted = {
        price: Number(line.price), title: line.title, color: color(line.tone), lineWidth: 1,
        lineStyle: line.dashed ? 2 : 0, axisLabelVisible: true,
      };
      const known = this.lines.get(line.id);
      if (known) known.applyOptions(wanted);
      else this.lines.set(line.id, this.candles.createPriceLine(wanted));
    }
    for (const [id, line] of this.lines) {
      if (present.has(id)) continue;
      this.candles.removePriceLine(line);
      this.lines.delete(id);
    }
  }

  // The start of the bar that a moment falls into, null before the first.
  barOf(at) {
    this.times ??= [...this.bars.keys()];
    return this.times[indexAtMost(this.times, at)] ?? null;
  }

  // The x of the edges of a span of time, null outside of the bars.
  places(from, to) {
    const times = this.times ??= [...this.bars.keys()];
    const first = indexAtMost(times, from);
    const last = indexAtMost(times, to - 1);
    if (last < 0) return null;
    const scale = this.chart.timeScale();
    const spacing = scale.options().barSpacing;
    const edge = (index, at) => {
      const start = times[index];
      const x = scale.timeToCoordinate(seconds(start));
      if (x === null) return null;
      const next = times[index + 1] ?? start + (times.length > 1 ? times[1] - times[0] : to - from);
      return x - spacing / 2 + spacing * Math.min(1, Math.max(0, (at - start) / (next - start)));
    };
    const left = edge(Math.max(first, 0), from);
    const right = edge(last, to);
    return left === null || right === null ? null : [left, right];
  }

  // Markers: {at_ms, place: "above" | "below", shape, tone, text}. They stand at the bar they fall into.
  setMarkers(markers) {
    this.marked = markers;
    const placed = [];
    for (const marker of markers) {
      const bar = this.barOf(marker.at_ms);
      if (bar === null) continue;
      placed.push({
        time: seconds(bar), position: marker.place === "above" ? "aboveBar" : "belowBar", shape: marker.shape,
        color: color(marker.tone), text: marker.text,
      });
    }
    placed.sort((a, b) => a.time - b.time);
    this.markers.setMarkers(placed);
  }

  // Adds a point to a signal that is drawn. Returns whether there is such a signal.
  addSignal(id, at, value) {
    const line = this.signals.get(id);
    if (!line) return false;
    const last = line.data().at(-1);
    const time = seconds(at);
    if (value !== null && (!last || time >= last.time)) line.update({ time, value });
    return true;
  }

  // Lines over time: {id, title, points: [[at_ms, value]], pane}. A signal near the price is drawn over it.
  setSignals(series) {
    const present = new Set();
    series.forEach((one, index) => {
      present.add(one.id);
      if (!this.signals.has(one.id)) {
        const line = this.chart.addSeries(Charts.LineSeries, {
          lineWidth: 1, priceLineVisible: false, lastValueVisible: true, title: one.title,
          color: color(`line${(index % 4) + 1}`),
        }, one.pane);
        this.signals.set(one.id, line);
      }
      const rows = new Map();
      for (const [at, value] of one.points) if (value !== null) rows.set(seconds(at), value);
      const data = [...rows].sort((a, b) => a[0] - b[0]).map(([time, value]) => ({ time, value }));
      this.signals.get(one.id).setData(data);
    });
    for (const [id, line] of this.signals) {
      if (present.has(id)) continue;
      this.chart.removeSeries(line);
      this.signals.delete(id);
    }
    this.chart.panes().slice(1).forEach((pane) => pane.setStretchFactor(0.3));
  }
}

function indexAtMost(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
