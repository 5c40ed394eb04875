// Open interest and funding of a market over time.

import { get } from "./api.js";
import { SeriesChart } from "./chart.js";
import { byId, setText } from "./dom.js";
import { clock, money } from "./format.js";

const POINTS_MAX = 2000;
const NEWEST = 5;
const KEPT_MAX = 5000;
const percent = (rate) => `${(rate * 100).toFixed(4)} %`;

export class Contexts {
  constructor() {
    this.instrument = "";
    this.points = new Map();
    this.rates = [];
    this.chart = new SeriesChart(byId("context-chart"), percent);
  }

  // Reads all points, or of a market that is shown already only the newest, unless some were missed.
  async load(instrument, whole, current) {
    const known = !whole && instrument === this.instrument && this.points.size > 0;
    let found = null;
    try {
      found = await get("contexts", { instrument, limit: known ? NEWEST : POINTS_MAX });
      const missed = known && found.points.length === NEWEST && found.points[0][0] > [...this.points.values()].at(-1)[0];
      if (missed) found = await get("contexts", { instrument, limit: POINTS_MAX });
      if (!known || missed) this.points.clear();
    } catch {
      return;
    }
    if (!current()) return;
    this.instrument = instrument;
    for (const point of found.points) this.points.set(Math.floor(point[0] / 60_000), point);
    for (const minute of this.points.keys()) {
      if (this.points.size <= KEPT_MAX) break;
      this.points.delete(minute);
    }
    this.rates = known ? this.rates : found.rates;
    this.draw();
  }

  draw() {
    const points = [...this.points.values()];
    const of = (place) => points.filter((point) => point[place] !== null).map((point) => [point[0], Number(point[place])]);
    const settled = (unit) => this.rates.filter((rate) => rate[3] === unit);
    this.chart.set(of(1), of(2), settled("fraction"), settled("money"));
    const last = points.at(-1);
    setText(byId("context-note"), last
      ? `${clock(last[0])}: open interest ${money(last[1], 0)}, funding ${last[2] === null ? "–" : `${percent(last[2])} for one hour`}`
      : "None yet. The venue's channel for them goes into [data] channels of the configuration.");
  }
}
