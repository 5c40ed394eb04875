// Exact decimal arithmetic on text such as "97012.5": money is never a floating-point number.

export function parse(text) {
  const match = /^\s*(-?)(\d*)(?:\.(\d*))?\s*$/.exec(text ?? "");
  if (!match || !(match[2] || match[3])) return null;
  const decimals = match[3] ?? "";
  const units = BigInt(match[2] + decimals || "0");
  return { units: match[1] ? -units : units, scale: decimals.length };
}

const ten = (power) => 10n ** BigInt(power);
const at = (value, scale) => value.units * ten(scale - value.scale);

export function text(value) {
  if (value === null) return "";
  const { units, scale } = value;
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  return (units < 0n ? "-" : "") + whole + (scale ? "." + digits.slice(-scale) : "");
}

export function add(a, b) {
  const scale = Math.max(a.scale, b.scale);
  return { units: at(a, scale) + at(b, scale), scale };
}

export const multiply = (a, b) => ({ units: a.units * b.units, scale: a.scale + b.scale });

// Rounds half away from zero to `scale` decimals: for display only.
export function round(value, scale) {
  if (value === null || value.scale <= scale) return value;
  const unit = ten(value.scale - scale);
  const half = value.units < 0n ? -unit / 2n : unit / 2n;
  return { units: (value.units + half) / unit, scale };
}

// Rounds towards zero to `scale` decimals.
export function divide(a, b, scale = 8) {
  if (b.units === 0n) return null;
  return { units: (a.units * ten(scale + b.scale)) / (b.units * ten(a.scale)), scale };
}

export function compare(a, b) {
  const scale = Math.max(a.scale, b.scale);
  const difference = at(a, scale) - at(b, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export const negative = (value) => value !== null && value.units < 0n;

// Rounds towards zero to a multiple of `step`.
export function floorTo(value, step) {
  if (step.units === 0n) return value;
  const scale = Math.max(value.scale, step.scale);
  const unit = at(step, scale);
  return { units: (at(value, scale) / unit) * unit, scale };
}
