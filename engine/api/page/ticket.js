// The order ticket. It says what an order costs before it is sent; a real order needs a second step.
//
// The nonce is made when the ticket opens and again after a recorded order. Without an answer the ticket is
// locked: sending it again asks about the same order and can never make a second one.

import { newNonce } from "./api.js";
import { confirm, mayAct, outcomeIn, send, whyNot } from "./commands.js";
import { add, compare, divide, floorTo, multiply, negative, parse, text as write } from "./decimal.js";
import { byId, element, setOptions, setText } from "./dom.js";
import { money, plain } from "./format.js";
import { priceOf, state, watch } from "./state.js";

const KINDS = { market: "Market", limit: "Limit", stop: "Stop (waits for a price)", "take-profit": "Take-profit" };
const UNITS = ["base", "quote", "% of equity"];

export class Ticket {
  constructor(form) {
    this.form = form;
    this.nonce = newNonce();
    this.locked = false;
    this.build();
    form.addEventListener("input", () => this.show());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    watch(["loaded", "instruments"], () => {
      setOptions(this.market, [...state.instruments.keys()]);
      this.show();
    });
    watch(["prices", "equity", "status", "fresh"], () => this.show());
  }

  // Whether something is typed that a reload would lose.
  get dirty() {
    return this.locked || [this.size, this.limit, this.trigger, this.stopLoss, this.takeProfit].some((field) => field.value);
  }

  build() {
    const number = (name) => element("input", { id: `ticket-${name}`, name, inputmode: "decimal", maxlength: 40 });
    const choice = (name, entries) => element("select", { id: `ticket-${name}`, name },
      ...entries.map(([value, text]) => element("option", { value, text })));
    const side = (value, label) => element("label", { class: `side ${value}` },
      element("input", { type: "radio", name: "side", value, checked: value === "buy" }), ` ${label}`);
    const row = (label, field, extra) => element("div", { class: "field" },
      element("label", { for: field.id, text: label }), field, ...(extra ? [extra] : []));
    const check = (name, label) => element("label", {}, element("input", { type: "checkbox", id: `ticket-${name}`, name }), ` ${label}`);
    this.market = element("select", { id: "ticket-market", name: "market" });
    this.kind = choice("kind", Object.entries(KINDS));
    this.size = number("size");
    this.unit = choice("unit", UNITS.map((unit) => [unit, unit]));
    this.unit.setAttribute("aria-label", "Unit of the size");
    this.limit = number("limit");
    this.trigger = number("trigger");
    this.stopLoss = number("stop-loss");
    this.takeProfit = number("take-profit");
    this.preview = element("output", { id: "ticket-preview", class: "preview", for: "ticket-size" });
    this.outcome = element("p", { id: "ticket-outcome", class: "outcome", role: "status", "aria-live": "polite" });
    this.button = element("button", { type: "submit", id: "ticket-send" });
    this.clear = element("button", { type: "button", id: "ticket-clear", text: "Clear", onclick: () => this.reset() });
    this.form.replaceChildren(
      row("Market", this.market),
      element("fieldset", { class: "sides" }, element("legend", { text: "Side" }), side("buy", "Buy"), side("sell", "Sell")),
      row("Kind", this.kind),
      row("Size", this.size, this.unit),
      row("Limit price", this.limit),
      row("Trigger price", this.trigger),
      row("Stop-loss", this.stopLoss),
      row("Take-profit", this.takeProfit),
      element("div", { class: "checks" }, check("reduce-only", "Reduce-only"), check("post-only", "Post-only")),
      this.preview,
      element("p", { class: "bar" }, this.button, this.clear),
      this.outcome);
    this.reduceOnly = byId("ticket-reduce-only");
    this.postOnly = byId("ticket-post-only");
  }

  reset() {
    for (const field of [this.size, this.limit, this.trigger, this.stopLoss, this.takeProfit]) field.value = "";
    this.reduceOnly.checked = this.postOnly.checked = false;
    this.locked = false;
    this.nonce = newNonce();
    this.show();
  }

  get side() {
    return this.form.elements.side.value;
  }

  // Returns {members} of the command, or {problem}.
  read() {
    const kind = this.kind.value;
    const members = { market: this.market.value, side: this.side };
    const problem = (text) => ({ problem: text });
    const put = (name, field, label, needed) => {
      const value = field.value.trim();
      if (field.disabled || !value) return needed ? `${label} is missing` : "";
      const parsed = parse(value);
      if (parsed === null || parsed.units <= 0n) return `${label} is a number such as 12.5`;
      members[name] = value;
      return "";
    };
    if (!members.market) return problem("There is no market");
    const found = [
      put({ base: "size", quote: "notional", "% of equity": "percent" }[this.unit.value], this.size, "Size", true),
      put("limit", this.limit, "Limit price", kind === "limit"),
      put("trigger", this.trigger, "Trigger price", kind === "stop" || kind === "take-profit"),
      put("stop_loss", this.stopLoss, "Stop-loss", false),
      put("take_profit", this.takeProfit, "Take-profit", false),
    ].find(Boolean);
    if (found) return problem(found);
    if (kind === "take-profit") members.kind = "tp";
    if (this.reduceOnly.checked) members.reduce_only = true;
    if (this.postOnly.checked && !this.postOnly.disabled) members.post_only = true;
    return { members };
  }

  // Returns what the order is in the exact units of the market, as far as prices are known.
  estimate(members) {
    const row = state.instruments.get(members.market);
    const quotes = priceOf(members.market);
    const price = parse(members.limit ?? members.trigger ?? (members.side === "buy" ? quotes?.ask : quotes?.bid) ?? quotes?.last);
    if (!row || price === null || price.units <= 0n) return null;
    const equity = parse(state.account?.equity);
    let size = parse(members.size);
    if (members.notional) size = divide(parse(members.notional), price, 12);
    if (members.percent) {
      if (equity === null) return null;
      size = divide(multiply(equity, parse(members.percent)), multiply(price, parse("100")), 12);
    }
    if (size === null) return null;
    const step = parse(row.size_step);
    if (step) size = floorTo(size, step);
    const value = multiply(size, price);
    const margin = row.on_margin ? divide(value, { units: BigInt(Math.max(row.leverage, 1)), scale: 0 }) : value;
    const fee = multiply(value, parse(members.post_only ? row.maker_fee : row.taker_fee) ?? parse("0"));
    const share = equity && equity.units > 0n ? divide(multiply(value, parse("100")), equity, 2) : null;
    const low = parse(row.value_min);
    return { row, price, size, value, margin, fee, share, tooSmall: low !== null && compare(value, low) < 0, equity };
  }

  describe(members) {
    const found = this.estimate(members);
    const verb = members.side === "buy" ? "Buy" : "Sell";
    if (found === null) return { text: `${verb} ${members.market}: no price is known, so its value is not either.`, warn: true };
    const { row, price, size, value, margin, fee, share } = found;
    const quote = row.quote || state.account?.currency || "";
    const parts = [
      `${verb} ${plain(write(size))} ${row.base} at about ${plain(write(price))}`,
      `value ${money(write(value))} ${quote}`,
      row.on_margin ? `margin ${money(write(margin))} ${quote} (leverage ${row.leverage})` : "paid in full",
      `fee about ${money(write(fee), 4)} ${quote}`,
    ];
    if (share) parts.push(`${plain(write(share))} % of equity`);
    const loss = this.risk(members, found);
    if (loss) parts.push(`${negative(loss) ? "gain" : "loss"} at the stop-loss about ${money(write(loss).replace("-", ""))} ${quote}`);
    let warn = false;
    if (size.units === 0n) {
      parts.push("the size is below one step of the market");
      warn = true;
    } else if (found.tooSmall && !members.reduce_only) {
      parts.push(`below the market's minimum of ${plain(row.value_min)} ${quote}`);
      warn = true;
    }
    return { text: parts.join("; "), warn };
  }

  risk(members, { price, size }) {
    const stop = parse(members.stop_loss);
    if (stop === null) return null;
    const away = add(price, { units: -stop.units, scale: stop.scale });
    const signed = members.side === "buy" ? away : { units: -away.units, scale: away.scale };
    return multiply(signed, size);
  }

  show() {
    const kind = this.kind.value;
    this.limit.disabled = this.locked || (kind !== "limit" && kind !== "stop");
    this.trigger.disabled = this.locked || (kind !== "stop" && kind !== "take-profit");
    this.postOnly.disabled = this.locked || kind !== "limit";
    if (kind === "take-profit") this.reduceOnly.checked = true;
    this.reduceOnly.disabled = this.locked || kind === "take-profit";
    this.stopLoss.disabled = this.takeProfit.disabled = this.locked || this.reduceOnly.checked;
    this.size.disabled = this.market.disabled = this.unit.disabled = this.kind.disabled = this.locked;
    for (const radio of this.form.elements.side) radio.disabled = this.locked;
    const row = state.instruments.get(this.market.value);
    if (row) UNITS.forEach((unit, index) => setText(this.unit.options[index], [row.base || "base", row.quote || "quote", unit][index]));
    const armed = state.status?.armed;
    setText(this.button, this.locked ? "Send again" : armed ? "Review real order…" : `${this.side === "buy" ? "Buy" : "Sell"} (${state.status?.mode ?? "paper"})`);
    this.button.className = this.side;
    this.button.disabled = !mayAct() && !this.locked;
    if (this.locked) return;
    const { members, problem } = this.read();
    const shown = members
      ? this.describe(members)
      : { text: this.dirty ? problem : "What the order costs is shown here before it is sent.", warn: this.dirty };
    setText(this.preview, mayAct() ? shown.text : whyNot());
    this.preview.classList.toggle("warn", shown.warn || !mayAct());
  }

  async submit() {
    if (this.sending) return;
    if (!this.locked) {
      const { members, problem } = this.read();
      if (problem) {
        outcomeIn(this.outcome)({ text: `Not sent: ${problem}.`, failed: true });
        return;
      }
      this.members = members;
      if (state.status.armed) {
        const sure = await confirm({
          title: "Send a real order?", text: this.describe(members).text, yes: "Send the real order", typed: members.market,
        });
        if (!sure) return;
      }
    }
    this.sending = true;
    this.button.disabled = true;
    const answer = await send("order", this.members, this.nonce, outcomeIn(this.outcome));
    this.sending = false;
    this.locked = answer === null;
    if (answer && answer.state !== "unsent") {
      this.nonce = newNonce();
      if (answer.state !== "refused") this.size.value = "";
    }
    this.show();
  }
}
