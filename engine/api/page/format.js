// How numbers and times read. Times are UTC.

import { parse, round, text as write } from "./decimal.js";

const two = (number) => String(number).padStart(2, "0");

export function clock(ms, withDay = false) {
  if (!ms) return "";
  const date = new Date(ms);
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return withDay ? `${date.toISOString().slice(0, 10)} ${time}` : time;
}

export function age(ms) {
  if (ms < 0) return "0 s";
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

// Groups the digits before the point and rounds to `decimals`. The exact value is in the title of the cell.
export function money(value, decimals = 2) {
  const parsed = parse(value);
  if (parsed === null) return value ?? "–";
  const [whole, fraction] = write(round(parsed, decimals)).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

export function signed(value, decimals = 2) {
  const shown = money(value, decimals);
  const parsed = parse(value);
  return parsed !== null && parsed.units > 0n ? `+${shown}` : shown;
}

export const isZero = (value) => /^-?0*(?:\.0*)?$/.test(value ?? "");

// Removes zeros after the point that say nothing.
export function plain(value) {
  if (value === null || value === undefined) return "–";
  return value.includes(".") ? value.replace(/\.?0+$/, "") : value;
}

export function percent(value, decimals = 2) {
  return value === null || value === undefined ? "–" : `${value.toFixed(decimals)} %`;
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)
    ? value.toExponential(3)
    : String(Number(value.toPrecision(8)));
}

export function tone(value) {
  const parsed = parse(value);
  if (parsed === null || parsed.units === 0n) return "";
  return parsed.units < 0n ? "down" : "up";
}

// What a record says after its time, seq, cause and type, which have columns of their own.
export function recordText(row) {
  const at = row.text.indexOf(` ${row.type}`);
  return at < 0 ? row.text : row.text.slice(at + row.type.length + 1).trim();
}
