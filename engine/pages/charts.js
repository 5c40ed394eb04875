"use strict";
// Charts of a page, drawn by TradingView's Lightweight Charts, whose attribution stays visible. Reads the data
// blocks "curves" and "markets". Only here numbers become floating point: for pixels.

(() => {
  const read = (id) => {
    const block = document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const charts = [];

  function base() {
    return {
      autoSize: true,
      layout: {
        background: { color: color("panel") }, textColor: color("text"), attributionLogo: true, fontSize: 11,
        panes: { separatorColor: color("edge") },
      },
      grid: { vertLines: { color: color("grid") }, horzLines: { color: color("grid") } },
      timeScale: { timeVisible: true, secondsVisible: false, borderColor: color("edge"), minBarSpacing: 0.01 },
      rightPriceScale: { borderColor: color("edge"), minimumWidth: 76 },
      crosshair: { mode: 0 },
      // The wheel scrolls the page; with Ctrl, or two fingers, it zooms.
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false, pinch: true, axisPressedMouseMove: true },
    };
  }

  const amount = (value, digits = 2) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const moment = (seconds, withTime = true) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, withTime ? 16 : 10);

  // Keys on a chart: arrows move, + and - zoom, 0 shows all.
  function keys(host, chart) {
    host.tabIndex = 0;
    host.addEventListener("keydown", (event) => {
      const scale = chart.timeScale();
      const range = scale.getVisibleLogicalRange();
      if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
      const width = range.to - range.from;
      const moves = { ArrowLeft: [-0.15, -0.15], ArrowRight: [0.15, 0.15], "+": [0.2, -0.2], "=": [0.2, -0.2], "-": [-0.35, 0.35] };
      if (event.key === "0") scale.fitContent();
      else if (moves[event.key]) {
        const [from, to] = moves[event.key];
        scale.setVisibleLogicalRange({ from: range.from + from * width, to: range.to + to * width });
      } else return;
      event.preventDefault();
    });
    host.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const scale = chart.timeScale();
      const range = scale.getVisibleLogicalRange();
      if (!range) return;
      const at = scale.coordinateToLogical(event.offsetX) ?? (range.from + range.to) / 2;
      const factor = event.deltaY > 0 ? 1.25 : 0.8;
      scale.setVisibleLogicalRange({ from: at - (at - range.from) * factor, to: at + (range.to - at) * factor });
    }, { passive: false });
  }

  function start(host, paint) {
    const chart = LightweightCharts.createChart(host, base());
    const repaint = () => { chart.applyOptions(base()); paint(); };
    charts.push(repaint);
    keys(host, chart);
    return chart;
  }

  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => { for (const repaint of charts) repaint(); });
  }

  // Curves on one grid. Each is {name, title, pane, kind, values}.
  function drawCurves(host, data, curves) {
    const series = [];
    const chart = start(host, () => {
      for (const [one, curve] of series) one.applyOptions(curve.look());
    });
    const time = (at) => data.first + at * data.step;
    for (const curve of curves) {
      const one = chart.addSeries(LightweightCharts[curve.kind], {
        lineWidth: curve.width ?? 2, priceLineVisible: false, lastValueVisible: true, title: "",
        priceFormat: { type: "custom", minMove: 0.01, formatter: curve.format }, ...curve.look(),
      }, curve.pane);
      one.setData(curve.values.map((value, at) => value === null ? { time: time(at) } : { time: time(at), value }));
      series.push([one, curve]);
    }
    chart.panes().forEach((pane, at) => pane.setStretchFactor(at ? 1 : 2.4));
    chart.timeScale().fitContent();
    host.dataset.points = String(data.count);
    const reading = document.getElementById(`${host.id}-reading`);
    const show = (at) => {
      const parts = curves.map((curve) => {
        const value = curve.values[at];
        return `${curve.title} ${value === null || value === undefined ? "\u2013" : curve.format(value)}`;
      });
      reading.textContent = `${moment(time(at), data.step < 86400)}  ${parts.join("  ")}`;
    };
    show(data.count - 1);
    chart.subscribeCrosshairMove((param) => {
      show(param.time === undefined ? data.count - 1 : Math.round((param.time - data.first) / data.step));
    });
    const legend = document.getElementById(`${host.id}-legend`);
    for (const [one, curve] of series) legend.append(toggle(curve.tone, curve.title, (visible) => one.applyOptions({ visible })));
    return chart;
  }

  // A button of a legend, which shows a line or hides it.
  function toggle(tone, title, show) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const swatch = document.createElement("span");
    swatch.className = `swatch ${tone}`;
    button.append(swatch, title);
    button.addEventListener("click", () => {
      const visible = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(visible));
      show(visible);
    });
    return button;
  }

  const money = (value) => amount(value).replace("-", "\u2212");
  const percent = (value) => `${amount(value).replace("-", "\u2212")} %`;

  function line(name, title, values, pane, format, tone, width) {
    return { name, title, values, pane, format, width, tone, kind: "LineSeries", look: () => ({ color: color(tone) }) };
  }

  function fallen(title, values, pane, tone = "down") {
    return {
      name: "drawdown", title, pane, tone, format: percent, width: 1, kind: "AreaSeries",
      values: values.map((value) => value === null ? null : -value),
      look: () => ({
        lineColor: color(tone), topColor: color(`${tone}-soft`), bottomColor: color(`${tone}-soft`), invertFilledArea: true,
        autoscaleInfoProvider: (usual) => ({ priceRange: { minValue: Math.min(usual()?.priceRange?.minValue ?? 0, -1e-9), maxValue: 0 } }),
      }),
    };
  }

  const equityHost = document.getElementById("equity-chart");
  const curves = read("curves");
  if (equityHost && curves) {
    const drawn = [];
    if (curves.benchmark) drawn.push(line("benchmark", "benchmark", curves.benchmark, 0, money, "c2", 1));
    if (curves.equity) drawn.push(line("equity", "equity", curves.equity, 0, money, "c1", 2));
    if (curves.drawdown) drawn.push(fallen("drawdown", curves.drawdown, 1));
    if (curves.gross && curves.gross.some((value) => value)) {
      const pane = curves.drawdown ? 2 : 1;
      drawn.push(line("gross", "gross exposure", curves.gross, pane, percent, "c3", 1));
      if (curves.net) drawn.push(line("net", "net", curves.net, pane, percent, "c4", 1));
    }
    drawCurves(equityHost, curves, drawn);
  }

  // Two runs over each other: {first, step, count, one: {...}, other: {...}}.
  const bothHost = document.getElementById("both-chart");
  const both = read("both");
  if (bothHost && both) {
    const [one, other] = both.names;
    const drawn = [];
    if (both.other.equity) drawn.push(line("other", other, both.other.equity, 0, money, "c3", 2));
    if (both.one.equity) drawn.push(line("one", one, both.one.equity, 0, money, "c1", 2));
    if (both.one.equity && both.other.equity) {
      const differences = both.one.equity.map((value, at) => value === null || both.other.equity[at] === null ? null : value - both.other.equity[at]);
      drawn.push(line("difference", "difference", differences, 1, money, "c4", 1));
    }
    drawCurves(bothHost, both, drawn);
  }

  // Candles of one instrument. Prices are differences of integers; see `engine/pages/drawing.py`.
  function candlesOf(market) {
    const factor = 10 ** market.scale;
    const rows = [];
    let time = market.first;
    let close = 0;
    market.t.forEach((steps, at) => {
      time += steps * market.step;
      const open = close + market.ohlc[4 * at];
      close = open + market.ohlc[4 * at + 3];
      rows.push({
        time, open: open / factor, close: close / factor,
        high: (Math.max(open, close) + market.ohlc[4 * at + 1]) / factor,
        low: (Math.min(open, close) - market.ohlc[4 * at + 2]) / factor,
      });
    });
    return rows;
  }

  class MarketChart {
    constructor(host, reading, legend) {
      this.host = host;
      this.reading = reading;
      this.legend = legend;
      this.series = [];
      this.chart = start(host, () => this.paint());
      this.candles = this.chart.addSeries(LightweightCharts.CandlestickSeries, { priceLineVisible: false });
      this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, {
        priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
      });
      this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
      this.trip = this.chart.addSeries(LightweightCharts.LineSeries, {
        lineWidth: 3, lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false,
      });
      this.markers = LightweightCharts.createSeriesMarkers(this.candles, []);
      this.chart.subscribeCrosshairMove((param) => this.read(param));
      this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.mark());
    }

    show(market) {
      this.market = market;
      this.rows = candlesOf(market);
      const digits = Math.min(market.scale, 8);
      this.digits = digits;
      this.candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
      for (const { series } of this.series) this.chart.removeSeries(series);
      while (this.chart.panes().length > 1) this.chart.removePane(1);
      this.series = [];
      this.trip.setData([]);
      this.marked = "";
      this.candles.setData(this.rows);
      const low = Math.min(...this.sample((row) => row.low));
      const high = Math.max(...this.sample((row) => row.high));
      const panes = [];
      market.lines.forEach((line, index) => {
        const values = line.v.filter((value) => value !== null);
        const near = values.length > 0 && values.every((value) => value > low * 0.5 && value < high * 2);
        if (!near && line.kind !== "stop") panes.push(index);
        const tone = line.kind === "stop" ? (line.title.startsWith("take") ? "up" : "down") : `c${[4, 3, 5, 6, 1, 2][index % 6]}`;
        const series = this.chart.addSeries(LightweightCharts.LineSeries, {
          lineWidth: line.kind === "stop" ? 1 : 1.5, lineStyle: line.kind === "stop" ? 2 : 0,
          lineType: line.kind === "stop" ? LightweightCharts.LineType.WithSteps : LightweightCharts.LineType.Simple,
          priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false, color: color(tone),
        }, near || line.kind === "stop" ? 0 : 1);
        this.series.push({ series, line, tone, shown: true, byBar: new Map(line.t.map((bar, at) => [bar, line.v[at]])) });
        this.setLine(this.series.at(-1));
      });
      this.chart.panes().slice(1).forEach((pane) => pane.setStretchFactor(0.3));
      this.paint();
      this.showAll();
      this.host.dataset.candles = String(this.rows.length);
      this.host.dataset.fills = String(market.fills.length);
      this.drawLegend();
      this.read({});
    }

    sample(of) {
      const step = Math.max(1, Math.floor(this.rows.length / 2000));
      return this.rows.filter((_, at) => at % step === 0).map(of);
    }

    // A line has no gaps of its own: the part after a value that ended it is drawn in no colour.
    setLine({ series, line, tone }) {
      const shade = color(tone);
      let last = null;
      const data = [];
      line.t.forEach((bar, at) => {
        const value = line.v[at];
        if (value !== null) data.push({ time: this.rows[bar].time, value, color: shade });
        else if (last !== null) data.push({ time: this.rows[bar].time, value: last, color: "transparent" });
        last = value ?? last;
      });
      series.setData(data);
    }

    paint() {
      const [up, down] = [color("up"), color("down")];
      this.candles.applyOptions({ upColor: up, downColor: down, borderVisible: false, wickUpColor: up, wickDownColor: down });
      if (!this.market) return;
      const gaps = new Set(this.market.gaps);
      if (gaps.size) {
        const gray = color("c2");
        this.candles.setData(this.rows.map((row, at) => gaps.has(at) ? { ...row, color: gray, wickColor: gray } : row));
      }
      const [upSoft, downSoft] = [color("up-soft"), color("down-soft")];
      this.volume.setData(this.rows.map((row, at) => ({
        time: row.time, value: this.market.v[at], color: row.close >= row.open ? upSoft : downSoft,
      })));
      for (const one of this.series) this.setLine(one);
      this.marked = "";
      this.mark();
    }

    // Fills as arrows. Many at once would hide the candles: then only arrows, and texts once one is near.
    mark() {
      if (!this.market) return;
      const range = this.chart.timeScale().getVisibleLogicalRange();
      const seen = range ? this.market.fills.filter((fill) => fill[0] >= range.from && fill[0] <= range.to).length : 0;
      const near = seen <= 40;
      if (this.marked === String(near)) return;
      this.marked = String(near);
      const [up, down] = [color("up"), color("down")];
      const marks = this.market.fills.map(([bar, side, price, size]) => ({
        time: this.rows[bar].time, position: side > 0 ? "belowBar" : "aboveBar", shape: side > 0 ? "arrowUp" : "arrowDown",
        color: side > 0 ? up : down, text: near ? `${size} @ ${price}` : "", size: near ? 1 : 0.6,
      }));
      this.markers.setMarkers(marks);
    }

    showAll() {
      this.chart.timeScale().fitContent();
    }

    focus(entry, exit, tone, from, to) {
      const around = Math.max(30, Math.round((exit - entry) * 0.6));
      this.chart.timeScale().setVisibleLogicalRange({ from: entry - around, to: exit + around });
      const points = [{ time: this.rows[entry].time, value: from, color: color(tone) }];
      if (exit > entry) points.push({ time: this.rows[exit].time, value: to, color: color(tone) });
      this.trip.setData(points);
    }

    read(param) {
      const at = param.logical === undefined ? this.rows.length - 1 : Math.max(0, Math.min(this.rows.length - 1, param.logical));
      const row = this.rows[at];
      if (!row) { this.reading.textContent = ""; return; }
      const parts = ["open", "high", "low", "close"].map((name) => `${name} ${amount(row[name], this.digits)}`);
      parts.push(`volume ${this.market.v[at].toLocaleString("en-US")}`);
      for (const { line, byBar, shown } of this.series) {
        const value = byBar.get(at);
        if (shown && value !== undefined && value !== null) parts.push(`${line.title} ${Number(value.toPrecision(7))}`);
      }
      this.reading.textContent = `${moment(row.time)}  ${parts.join("  ")}`;
    }

    drawLegend() {
      this.legend.replaceChildren();
      for (const one of this.series) {
        this.legend.append(toggle(one.tone, one.line.title, (visible) => {
          one.shown = visible;
          one.series.applyOptions({ visible });
        }));
      }
      if (this.market.left) this.legend.append(`${this.market.left} more lines are not drawn`);
    }
  }

  const host = document.getElementById("market-chart");
  const markets = read("markets");
  if (host && markets?.length) {
    const picker = document.getElementById("market-picker");
    const chart = new MarketChart(host, document.getElementById("market-reading"), document.getElementById("market-legend"));
    const show = (index) => {
      picker.value = String(index);
      chart.show(markets[index]);
    };
    picker.addEventListener("change", () => show(Number(picker.value)));
    document.getElementById("market-all").addEventListener("click", () => chart.showAll());
    const place = (direction) => {
      const fills = chart.market.fills;
      const range = chart.chart.timeScale().getVisibleLogicalRange();
      if (!fills.length || !range) return;
      const middle = (range.from + range.to) / 2;
      const found = direction > 0 ? fills.find((fill) => fill[0] > middle + 0.5) : fills.findLast((fill) => fill[0] < middle - 0.5);
      const bar = (found ?? fills[direction > 0 ? fills.length - 1 : 0])[0];
      const half = Math.min(60, (range.to - range.from) / 2);
      chart.chart.timeScale().setVisibleLogicalRange({ from: bar - half, to: bar + half });
    };
    document.getElementById("market-before").addEventListener("click", () => place(-1));
    document.getElementById("market-next").addEventListener("click", () => place(1));
    show(0);
    document.addEventListener("show-trip", (event) => {
      const { name, entry, exit, tone, from, to } = event.detail;
      const index = markets.findIndex((market) => market.name === name);
      if (index < 0) return;
      if (chart.market !== markets[index]) show(index);
      chart.focus(entry, exit, tone, from, to);
      document.getElementById("market").scrollIntoView({ block: "start" });
      host.focus({ preventScroll: true });
    });
  }
})();
