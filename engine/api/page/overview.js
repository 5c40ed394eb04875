// The overview: numbers of the account, equity, positions, working orders, fills and commands.

import { EquityChart } from "./chart.js";
import { commander, confirm, leftWords } from "./commands.js";
import { byId, element, setText } from "./dom.js";
import { clock, isZero, money, percent, plain, signed, tone } from "./format.js";
import { keyOfOrder, keyOfPosition, state, watch } from "./state.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

const NUMBERS = [
  ["Equity", (account) => money(account.equity), () => "", accountsNote],
  ["Today", (account) => signed(account.day_profit), (account) => tone(account.day_profit), () => "since 00:00 UTC"],
  ["Unrealised", (account) => signed(account.unrealized), (account) => tone(account.unrealized), () => "open positions"],
  ["Drawdown", (account) => money(account.drawdown), () => "", (account) => percent(account.drawdown_percent)],
  ["Fees", (account) => money(account.fees), () => "", () => "paid"],
  ["Funding", (account) => signed(account.funding), (account) => tone(account.funding), () => "received less paid"],
];

export function startOverview() {
  startNumbers();
  const chart = new EquityChart(byId("equity-chart"));
  watch(["equity-all", "loaded"], () => chart.set(state.equity));
  watch(["equity"], () => (chart.isFull ? chart.set(state.equity) : chart.add(state.equity.at(-1))));

  const flatten = commander("flatten");
  const positions = new Table(byId("positions"), {
    name: "Positions",
    key: keyOfPosition,
    empty: "No position is open.",
    fits: true,
    columns: [
      { title: "Market", width: "6rem", text: marketName, hint: (row) => row.venue },
      { title: "Book", width: "6.5rem", text: (row) => row.owner },
      { title: "Size", width: "6rem", numeric: true, text: (row) => plain(row.size), tone: (row) => tone(row.size) },
      { title: "Entry", width: "6.5rem", numeric: true, text: (row) => plain(row.entry) },
      { title: "Mark", width: "6.5rem", numeric: true, text: (row) => plain(row.mark) },
      { title: "Value", width: "6.5rem", numeric: true, text: (row) => money(row.value), hint: (row) => row.value ?? "" },
      { title: "Unrealised", width: "6.5rem", numeric: true, text: (row) => signed(row.unrealized), tone: (row) => tone(row.unrealized), hint: (row) => row.unrealized ?? "" },
      { title: "Protected by", width: "16rem", long: true, text: protection, hint: protection, tone: (row) => (isZero(row.unprotected) ? "" : "warn") },
      { title: "Target", width: "7.5rem", text: target, hint: (row) => row.target_reason },
      whyColumn(undefined, (row) => `Why the position in ${row.instrument} of ${row.owner}`),
      { title: "", width: "5rem", button: {
        label: "Close", name: (row) => `Close the position in ${row.instrument} of ${row.owner}`,
        shown: (row) => !isZero(row.size) && !state.readOnly && !state.recorded, press: (row) => close(flatten, row) } },
    ],
  });
  watch(["positions"], () => positions.update(sorted(state.positions)));

  const cancel = commander("cancel");
  const orders = new Table(byId("orders"), {
    name: "Working orders and stops",
    key: keyOfOrder,
    empty: "No order works.",
    fits: true,
    columns: [
      ...orderColumns(),
      { title: "Distance", width: "8rem", numeric: true, long: true, text: distance },
      whyColumn((row) => row.updated_seq || row.seq, (row) => `Why order ${row.id || row.handle}`),
      { title: "", width: "5rem", button: {
        label: "Cancel", name: (row) => `Cancel the ${row.side} order in ${row.instrument}`,
        shown: () => !state.readOnly && !state.recorded, press: (row) => cancelOne(cancel, row) } },
    ],
  });
  watch(["orders", "prices"], () => orders.update([...state.working.values()]));

  const fills = new Table(byId("fills"), {
    name: "Fills", key: (row) => `${row.seq} ${row.owner}`, empty: "No fill yet.",
    columns: [
      { title: "UTC", width: "4.8rem", text: (row) => clock(row.at_ms), hint: (row) => clock(row.at_ms, true) },
      { title: "Market", width: "5rem", text: (row) => row.instrument },
      { title: "Side", width: "3.2rem", text: (row) => row.side, tone: (row) => (row.side === "buy" ? "up" : "down") },
      { title: "Size", width: "5.5rem", numeric: true, text: (row) => plain(row.size) },
      { title: "Price", width: "7rem", numeric: true, text: (row) => plain(row.price), hint: (row) => row.price },
      { title: "Fee", width: "4.5rem", numeric: true, text: (row) => money(row.fee, 4) },
      { title: "Book", width: "5rem", text: (row) => row.owner, hint: (row) => row.owner },
      { title: "For", width: "4.5rem", text: (row) => row.why || row.purpose || row.role },
      whyColumn(undefined, (row) => `Why the fill in ${row.instrument} at ${clock(row.at_ms)}`),
    ],
  });
  watch(["fills"], () => fills.update(state.fills.slice(0, 200)));

  const commands = new Table(byId("commands"), {
    name: "Commands", key: (row) => row.seq, empty: "No command was given.",
    columns: [
      { title: "UTC", width: "5rem", text: (row) => clock(row.at_ms), hint: (row) => clock(row.at_ms, true) },
      { title: "Command", width: "12rem", text: (row) => row.detail, hint: (row) => row.detail },
      { title: "State", width: "4.5rem", text: (row) => row.state, tone: (row) => (row.state === "refused" ? "down" : "") },
      { title: "Reason", width: "9rem", text: whatCame, hint: whatCame },
      { title: "Who", width: "5rem", text: (row) => row.who, hint: (row) => row.who },
      whyColumn(undefined, (row) => `Why command ${row.seq}`),
    ],
  });
  watch(["commands"], () => commands.update(state.commands));
}

function startNumbers() {
  const nodes = NUMBERS.map(([name]) => ({
    name, value: element("dd", { class: "value" }), note: element("dd", { class: "quiet" }),
  }));
  byId("numbers").replaceChildren(...nodes.map((node) =>
    element("dl", {}, element("dt", { text: node.name }), node.value, node.note)));
  watch(["equity", "status", "loaded"], () => {
    const account = state.account;
    if (!account) return;
    NUMBERS.forEach(([, text, toneOf, note], index) => {
      setText(nodes[index].value, text(account));
      nodes[index].value.dataset.tone = toneOf(account);
      setText(nodes[index].note, note(account));
    });
  });
}

export function orderColumns() {
  return [
    { title: "Market", width: "7rem", text: marketName, hint: (row) => row.venue },
    { title: "Book", width: "7rem", text: (row) => row.owner },
    { title: "Side", width: "3.2rem", text: (row) => row.side, tone: (row) => (row.side === "buy" ? "up" : "down") },
    { title: "Kind", width: "11rem", long: true, text: kind, hint: (row) => `${kind(row)}, ${row.id || row.handle}` },
    { title: "Left of size", width: "8rem", numeric: true, text: (row) => `${plain(row.left)} of ${plain(row.size)}` },
    { title: "Price", width: "6.5rem", numeric: true, text: (row) => plain(row.trigger_price ?? row.price), hint: (row) => (row.bound ? `at worst ${plain(row.bound)}` : "") },
    { title: "State", width: "6.5rem", text: (row) => row.state, hint: (row) => row.reason },
    { title: "Held", width: "5rem", text: (row) => row.held },
  ];
}

// The currency of the account, and the value of each where there are several.
function accountsNote(account) {
  const each = (account.accounts ?? []).map((one) => `${one.venue} ${money(one.equity)} ${one.currency}`);
  return [account.currency, ...each].join(", ");
}

// The market of a position or an order; with its venue where there are several and the label does not name it.
const marketName = (row) => (!row.venue || row.instrument.startsWith(`${row.venue}:`) ? row.instrument : `${row.instrument} at ${row.venue}`);

const whatCame = (row) => [row.reason, leftWords(row.left)].filter(Boolean).join(", ");

const sorted = (rows) => [...rows.values()].sort((a, b) => (keyOfPosition(a) < keyOfPosition(b) ? -1 : 1));

// What an order does at its price, in the words of the ticket; then what it is for, unless that says the same.
const TRIGGERS = { sl: "stop", tp: "take-profit" };
const SAID = ["own", "stop", "take", "trail"];

function kind(row) {
  const trigger = row.purpose === "trail" || row.kind === "trail" ? "trailing stop" : TRIGGERS[row.trigger];
  const parts = [trigger ? (row.kind === "limit stop" ? `${trigger} limit` : trigger) : row.kind];
  if (row.purpose && !SAID.includes(row.purpose)) parts.push(row.purpose);
  if (row.reduce_only) parts.push("reduce-only");
  return parts.join(", ");
}

function protection(row) {
  if (isZero(row.size)) return "–";
  const parts = row.protected_by.map((one) => `${one.kind}${one.price ? ` ${plain(one.price)}` : ""} (${one.held})`);
  if (!isZero(row.exiting)) parts.push(`exiting ${plain(row.exiting)}`);
  if (!isZero(row.unprotected)) parts.push(`unprotected ${plain(row.unprotected)}`);
  return parts.join(", ") || "–";
}

function target(row) {
  return row.wanted === null ? "–" : `${plain(row.wanted)} ${row.target_state}`;
}

function distance(row) {
  if (row.distance === null) return "–";
  return `${plain(row.distance)} (${percent(row.distance_percent)})`;
}

async function close(flatten, row) {
  const what = state.strategies.get(row.owner)?.use ? `${row.owner}, and the strategy is paused` : `the book ${row.owner}`;
  const sure = await confirm({ title: `Flatten ${row.owner}?`, text: `Closes every position of ${what}.`, yes: "Flatten" });
  if (sure) await flatten({ strategy: row.owner });
}

async function cancelOne(cancel, row) {
  const members = { order: row.id || row.handle };
  if (row.role === "close" && row.trigger) {
    const sure = await confirm({
      title: "Cancel a protective order?",
      text: `The position in ${row.instrument} of ${row.owner} loses this protection.`,
      yes: "Cancel the order",
    });
    if (!sure) return;
    members.protective = true;
  }
  await cancel(members);
}
