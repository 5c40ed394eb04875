// The strategies: a card for each, made once. Only its texts change, so a typed parameter stays where it is.

import { commander, confirm, mayAct, outcomeIn } from "./commands.js";
import { byId, element, setText } from "./dom.js";
import { clock, number, plain, signed, tone } from "./format.js";
import { state, watch } from "./state.js";
import { showWhy } from "./why.js";

const cards = new Map();

export function startStrategies() {
  watch(["strategies", "loaded", "fresh"], () => {
    for (const row of state.strategies.values()) {
      if (!cards.has(row.name)) {
        cards.set(row.name, new Card(row));
        byId("view-strategies").append(cards.get(row.name).node);
      }
      cards.get(row.name).show(row);
    }
    for (const [name, card] of cards) card.node.classList.toggle("gone", !state.strategies.has(name));
  });
}

class Card {
  constructor(row) {
    const part = (title, empty) => element("div", {
      class: "rows short", tabindex: 0, role: "region", "aria-label": `${title} of ${row.name}`, "data-empty": empty,
    });
    this.name = row.name;
    this.params = new Map();
    this.state = element("span", { class: "badge" });
    this.why = element("span", { class: "quiet" });
    this.profit = element("dd");
    this.unrealized = element("dd");
    this.fills = element("dd");
    this.books = part("Books", "No position and no target.");
    this.fields = element("div", { class: "params" });
    this.signals = part("Signals", "No signal yet.");
    this.reasons = part("Reasons", "No reason yet.");
    this.log = part("Log", "No line yet.");
    this.outcome = element("p", { class: "outcome", role: "status", "aria-live": "polite" });
    const act = (command, label, question) => {
      const run = commander(command);
      return element("button", { type: "button", text: label, "aria-label": `${label} ${row.name}`, onclick: async () => {
        const sure = !question || (await confirm({ title: `${label} ${row.name}?`, text: question, yes: label }));
        if (sure) await run({ strategy: row.name }, outcomeIn(this.outcome));
      } });
    };
    // The book of orders by hand, and that of other programs, belong to no strategy.
    const book = !row.use;
    this.buttons = [
      ...(book ? [] : [
        act("pause", "Pause"),
        act("resume", "Resume", "It may open positions again."),
        act("restart", "Restart", "It begins again and may trade."),
        act("stop-strategy", "Stop", "It asks for nothing until it is restarted."),
      ]),
      act("flatten", "Flatten", "Its positions are closed, and it is paused."),
    ];
    this.node = element("article", { class: "panel wide", "aria-label": `Strategy ${row.name}` },
      element("h2", {}, row.name, " ", this.state, " ", this.why),
      element("p", { class: "bar" }, ...this.buttons),
      this.outcome,
      element("dl", { class: "pairs" },
        element("dt", { text: "Class" }), element("dd", { text: row.use || "none: a book of its own" }),
        element("dt", { text: "Markets" }), element("dd", { text: row.instruments.join(", ") || "all" }),
        element("dt", { text: "Profit" }), this.profit,
        element("dt", { text: "Unrealised" }), this.unrealized,
        element("dt", { text: "Today" }), this.fills),
      ...(book ? [] : [element("h3", { text: "Parameters" }), this.fields, this.otherParam()]),
      element("div", { class: "columns" },
        element("div", {}, element("h3", { text: "Books" }), this.books),
        element("div", {}, element("h3", { text: "Signals" }), this.signals),
        element("div", {}, element("h3", { text: "Reasons" }), this.reasons),
        element("div", {}, element("h3", { text: "Log" }), this.log)));
  }

  show(row) {
    setText(this.state, row.state);
    this.state.dataset.state = row.state;
    setText(this.why, row.why);
    setText(this.profit, signed(row.profit));
    this.profit.dataset.tone = tone(row.profit);
    setText(this.unrealized, signed(row.unrealized));
    this.unrealized.dataset.tone = tone(row.unrealized);
    setText(this.fills, `${counted(row.fills_today, "fill")}, ${counted(row.refusals_today, "refusal")}`);
    for (const [name, value] of Object.entries(row.params)) this.showParam(name, value);
    lines(this.books, row.books, (book) => [
      `${book.instrument} ${plain(book.size)}, profit ${signed(book.profit)}` +
      (book.wanted === null ? "" : `, target ${plain(book.wanted)} ${book.target_state}`), 0]);
    lines(this.signals, row.signals, (one) => [`${clock(one.at_ms)} ${one.instrument} ${one.name} = ${number(one.value)}`, one.seq]);
    lines(this.reasons, row.reasons, ([at, seq, text]) => [`${clock(at)} ${text}`, seq]);
    lines(this.log, row.log, ([at, seq, text]) => [`${clock(at)} ${text}`, seq]);
    for (const part of [...this.buttons, ...(this.other ? [this.other] : [])]) part.hidden = state.readOnly || state.recorded;
  }

  // With real orders a parameter is set in two steps.
  async sure(name, text) {
    return !state.status.armed || confirm({ title: `Set ${this.name}.${name}?`, text, yes: "Set" });
  }

  // A parameter that has its default is in no record, so it is set by name.
  otherParam() {
    const field = (label) => element("input", { size: 12, placeholder: label, "aria-label": `${label} of another parameter of ${this.name}` });
    const [name, value] = [field("Name"), field("Value")];
    const run = commander("set");
    this.other = element("form", { class: "bar", autocomplete: "off" },
      element("span", { class: "quiet", text: "Another one" }), name, value, element("button", { type: "submit", text: "Set" }));
    this.other.addEventListener("submit", async (event) => {
      event.preventDefault();
      const given = value.value.trim();
      if (!name.value.trim() || !given || !(await this.sure(name.value.trim(), `To ${given}.`))) return;
      const answer = await run({ strategy: this.name, name: name.value.trim(), value: valueOf(given, guessed(given)) }, outcomeIn(this.outcome));
      if (answer && answer.state === "done") name.value = value.value = "";
    });
    return this.other;
  }

  // The value in force stands beside the field, so that it can change while another one is typed.
  showParam(name, value) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (!this.params.has(name)) {
      const id = `param-${this.name}-${name}`;
      const now = element("span", { class: "numeric" });
      const field = element("input", { id, name, size: 12, "aria-label": `New value of ${name} of ${this.name}` });
      const run = commander("set");
      const form = element("form", { class: "param", autocomplete: "off" },
        element("label", { for: id, text: name }), now, field, element("button", { type: "submit", text: "Set" }));
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const given = field.value.trim();
        if (!given || !mayAct()) return;
        if (!(await this.sure(name, `From ${now.textContent} to ${given}.`))) return;
        const answer = await run({ strategy: this.name, name, value: valueOf(given, value) }, outcomeIn(this.outcome));
        if (answer && answer.state !== "refused" && answer.state !== "unsent") field.value = "";
      });
      form.hidden = false;
      this.params.set(name, { now, form });
      this.fields.append(form);
    }
    const param = this.params.get(name);
    setText(param.now, text);
    const looksOnly = state.readOnly || state.recorded;
    for (const part of param.form.querySelectorAll("input, button")) part.hidden = looksOnly;
  }
}

const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

const guessed = (given) => (/^(true|false)$/.test(given) ? true : /^-?\d+(\.\d+)?$/.test(given) ? 0 : "");

// A parameter keeps its type: what was a number or true/false is sent as one, everything else as text.
function valueOf(given, before) {
  if (typeof before === "boolean" && /^(true|false)$/.test(given)) return given === "true";
  if (typeof before === "number" && given !== "" && Number.isFinite(Number(given))) return Number(given);
  return given;
}

// Lines of text in place; one with a seq has its why.
function lines(host, rows, textOf) {
  while (host.children.length > rows.length) host.lastElementChild.remove();
  rows.forEach((row, index) => {
    const [text, seq] = textOf(row);
    let line = host.children[index];
    if (!line) {
      const button = element("button", { type: "button", class: "link", text: "why", onclick: () => showWhy(Number(button.dataset.seq)) });
      line = element("p", { class: "entry" }, element("span"), button);
      host.append(line);
    }
    setText(line.firstChild, text);
    line.lastChild.dataset.seq = seq;
    line.lastChild.hidden = !seq;
  });
}
