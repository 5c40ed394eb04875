// A heat map behind the candles: what was closed by force, by price and time. Drawn on the chart's own canvas.

const ALPHA_MIN = 0.2;
const ALPHA_MAX = 0.85;
const HEIGHT_MIN = 2;

// `places()` returns the x of the left and right edge of a span of time; `color(name)` a color of the theme.
export class HeatMap {
  constructor({ places, color }) {
    this.places = places;
    this.color = color;
    this.windows = [];
    this.most = 0;
    this.drawn = 0;
  }

  attached({ series, requestUpdate }) {
    this.series = series;
    this.requestUpdate = requestUpdate;
  }

  detached() {
    this.series = null;
  }

  // Windows: {start_ms, end_ms, level, levels: [[price, longs, shorts]]}.
  set(windows) {
    this.windows = windows.map((row) => ({
      from: row.start_ms, to: row.end_ms, height: Number(row.level),
      cells: row.levels.map(([price, longs, shorts]) => [Number(price), Number(longs), Number(shorts)]),
    }));
    this.most = Math.max(0, ...this.windows.flatMap((row) => row.cells.map(([, longs, shorts]) => longs + shorts)));
    this.requestUpdate?.();
  }

  updateAllViews() {}

  paneViews() {
    return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) }];
  }

  draw(target) {
    this.drawn = 0;
    if (!this.windows.length || !this.series) return;
    const tones = { longs: this.color("longs"), shorts: this.color("shorts") };
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: across, verticalPixelRatio: down }) => {
      context.save();
      for (const { from, to, height, cells } of this.windows) {
        const place = this.places(from, to);
        if (!place) continue;
        const left = Math.round(place[0] * across);
        const width = Math.max(1, Math.round(place[1] * across) - left);
        if (left > bitmapSize.width || left + width < 0) continue;
        for (const [price, longs, shorts] of cells) {
          const top = this.series.priceToCoordinate(price + height);
          const bottom = this.series.priceToCoordinate(price);
          if (top === null || bottom === null) continue;
          const tall = Math.max(HEIGHT_MIN, Math.round((bottom - top) * down));
          const whole = longs + shorts;
          context.globalAlpha = ALPHA_MIN + (ALPHA_MAX - ALPHA_MIN) * Math.sqrt(whole / this.most);
          // Longs from the left, shorts from the right: by their parts of the cell.
          const part = Math.round((width * longs) / whole);
          context.fillStyle = tones.longs;
          context.fillRect(left, Math.round(bottom * down) - tall, part, tall);
          context.fillStyle = tones.shorts;
          context.fillRect(left + part, Math.round(bottom * down) - tall, width - part, tall);
          this.drawn += 1;
        }
      }
      context.restore();
    });
  }
}
