// Order flow of a market: volume profile (of a window, or of what the chart shows) and footprint.

import { add, compare, parse, text as write } from "./decimal.js";
import { byId, element, setOptions, setText } from "./dom.js";
import { clock, plain } from "./format.js";

const VISIBLE = "visible range";
const COLUMNS_MAX = 10;
const ROWS_MAX = 60;
let drawn = "";

export function startFlow(redraw) {
  for (const id of ["profile-of", "footprint-interval"]) byId(id).addEventListener("change", redraw);
}

export function showFlow(shown, range) {
  const flow = shown.flow;
  const footprints = flow?.footprints ?? [];
  const profiles = flow?.profiles ?? [];
  const choices = [...(footprints.length ? [VISIBLE] : []), ...profiles.map((row) => clock(row.start_ms, true)).reverse()];
  setOptions(byId("profile-of"), choices);
  setOptions(byId("footprint-interval"), flow && footprints.length ? [flow.interval] : []);
  const chosen = byId("profile-of").value;
  const signature = JSON.stringify([shown.instrument, flow?.seq, chosen, chosen === VISIBLE ? range : 0]);
  if (signature === drawn) return;
  drawn = signature;
  if (chosen === VISIBLE) {
    const inside = footprints.filter((row) => row.start_ms >= range.from && row.start_ms <= range.to);
    drawProfile(sumLevels(inside), null, `${inside.length} bars`);
  } else {
    const row = profiles.find((one) => clock(one.start_ms, true) === chosen);
    const note = row ? `point of control ${plain(row.point)}, value area ${plain(row.value_low)} to ${plain(row.value_high)}` : "";
    drawProfile(row?.levels ?? [], row, row ? note : "Ask for it in [flow] of the configuration.");
  }
  drawFootprint(footprints.slice(-COLUMNS_MAX).reverse());
}

function sumLevels(footprints) {
  const sums = new Map();
  for (const row of footprints) {
    for (const [price, ...parts] of row.levels) {
      let sum = sums.get(price) ?? { units: 0n, scale: 0 };
      for (const part of parts) sum = add(sum, parse(part));
      sums.set(price, sum);
    }
  }
  return [...sums].sort((a, b) => Number(a[0]) - Number(b[0])).map(([price, sum]) => [price, write(sum)]);
}

function drawProfile(levels, row, note) {
  setText(byId("profile-note"), note);
  const most = Math.max(...levels.map(([, volume]) => Number(volume)), 0);
  byId("profile").replaceChildren(...[...levels].reverse().slice(0, 400).map(([price, volume]) => {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${most ? (Number(volume) / most) * 100 : 0}%`;
    const at = parse(price);
    const inValue = row && compare(at, parse(row.value_low)) >= 0 && compare(at, parse(row.value_high)) <= 0;
    return element("div", { class: inValue ? "level value-area" : "level" },
      element("span", { class: "numeric", text: plain(price) }), element("span", { class: "track" }, fill),
      element("span", { class: "numeric", text: plain(volume) }));
  }));
}

function drawFootprint(bars) {
  setText(byId("footprint-note"), bars.length ? "bought × sold, newest first" : "Ask for it in [flow] of the configuration.");
  const prices = [...new Set(bars.flatMap((bar) => bar.levels.map(([price]) => price)))]
    .sort((a, b) => Number(b) - Number(a)).slice(0, ROWS_MAX);
  const cells = bars.map((bar) => new Map(bar.levels.map(([price, bought, sold]) => [price, [bought, sold]])));
  const head = element("tr", {}, element("th", { scope: "col", text: "Price" }),
    ...bars.map((bar) => element("th", { scope: "col", class: "numeric", text: clock(bar.start_ms) })));
  const rows = prices.map((price) => element("tr", {}, element("th", { scope: "row", text: plain(price) }),
    ...cells.map((levels) => {
      const level = levels.get(price);
      if (!level) return element("td");
      const tone = Number(level[0]) >= Number(level[1]) ? "up" : "down";
      return element("td", { class: "numeric", "data-tone": tone, text: `${plain(level[0])} × ${plain(level[1])}` });
    })));
  const delta = element("tr", {}, element("th", { scope: "row", text: "Delta" }),
    ...bars.map((bar) => element("td", { class: "numeric", "data-tone": bar.delta.startsWith("-") ? "down" : "up", text: plain(bar.delta) })));
  byId("footprint").tabIndex = 0;
  byId("footprint").replaceChildren(...(bars.length
    ? [element("table", { class: "footprint", "aria-label": "Footprint" }, element("thead", {}, head), element("tbody", {}, delta, ...rows))]
    : []));
}
