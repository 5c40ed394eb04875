// The page: logs in, starts the panels and the stream, and says in one line how things stand.

import { get, journalChanged, onJournalChanged, onLoginNeeded } from "./api.js";
import { redraw } from "./chart.js";
import { mayAct, setStream, startKillSwitch } from "./commands.js";
import { startControl } from "./control.js";
import { byId, setClass, setText } from "./dom.js";
import { startEvents } from "./events.js";
import { age, clock } from "./format.js";
import { startHealth } from "./health.js";
import { login, logout } from "./login.js";
import { startMarket } from "./market.js";
import { startOverview } from "./overview.js";
import { applyMessage, loadAll, setStatus, state, touch, watch } from "./state.js";
import { startStrategies } from "./strategies.js";
import { SILENCE, Stream } from "./stream.js";
import { startTimeline } from "./timeline.js";
import { showWhy, startWhy } from "./why.js";
import { Ticket } from "./ticket.js";
import { startTrade } from "./trade.js";

const STATUS_MS = 5000;
const SILENCE_SHOWN_MS = 1000;
const THEMES = ["", "light", "dark"];

async function start() {
  startTheme();
  const session = await login();
  state.looksOnly = session.read_only === true || session.commands === false;
  byId("app").hidden = false;
  startWhy();
  startViews();
  startOverview();
  startMarket(() => visible("market"));
  startStrategies();
  startEvents(() => visible("events"));
  startHealth(() => visible("health") || visible("overview"));
  startKillSwitch();
  startControl(byId("control"));
  const ticket = new Ticket(byId("ticket"));
  startTrade();
  byId("logout").addEventListener("click", logout);

  let wasFresh = null;
  const stream = new Stream({
    load: loadAll,
    apply: applyMessage,
    turned(fresh, why) {
      if (fresh !== wasFresh) touch("fresh", "status");
      wasFresh = fresh;
      showLine(stream, why);
    },
  });
  setStream(stream);
  onJournalChanged(() => {
    if (!ticket.dirty) location.reload();
    touch("fresh", "status");
  });
  onLoginNeeded(() => location.reload());
  watch(["status", "seq", "fresh", "loaded", "prices"], () => showLine(stream, stream.why));
  watch(["status", "fresh", "loaded"], showMode);
  setInterval(async () => {
    if (!document.hidden && !state.recorded && stream.isFresh()) await get("status").then(setStatus, () => null);
  }, STATUS_MS);
  watch(["loaded"], () => {
    if (!state.recorded || !byId("timeline").hidden) return;
    byId("timeline").hidden = false;
    startTimeline(async () => {
      await loadAll();
      return state.status;
    });
  });
  stream.start();
}

const visible = (name) => !byId(`view-${name}`).hidden;

function startViews() {
  const names = [...document.querySelectorAll(".tabs a")].map((link) => link.hash.slice(1));
  const show = () => {
    const [name, seq] = location.hash.slice(1).split("=");
    if (name === "why") showWhy(Number(seq));
    const shown = names.includes(name) ? name : names.find(visible) ?? names[0];
    for (const one of names) byId(`view-${one}`).hidden = one !== shown;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    touch("view");
  };
  addEventListener("hashchange", show);
  for (const name of names.slice(1)) byId(`view-${name}`).hidden = true;
  show();
}

function startTheme() {
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    redraw();
  };
  let theme = "";
  try {
    theme = localStorage.getItem("retape-theme") ?? "";
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  apply(theme);
  byId("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = theme || (dark ? "dark" : "light");
    theme = now === "dark" ? "light" : "dark";
    if ((theme === "dark") === dark) theme = THEMES[0];
    apply(theme);
    try {
      localStorage.setItem("retape-theme", theme);
    } catch {
      // As above.
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function showMode() {
  const { status } = state;
  if (!status) return;
  const mode = state.recorded ? "RECORDED" : status.armed ? "REAL ORDERS" : status.mode === "paper" ? "PAPER" : `${status.mode.toUpperCase()}, NOT ARMED`;
  setText(byId("mode"), mode);
  byId("mode").dataset.mode = state.recorded ? "recorded" : status.armed ? "armed" : "paper";
  setText(byId("network"), [status.network, status.account_id, state.readOnly ? "read-only" : ""].filter(Boolean).join(" "));
  setClass(document.documentElement, "armed", status.armed && !state.recorded);
  document.title = `${mode} ${status.halts.some(isHalt) ? "HALTED " : ""}retape`;
  for (const id of ["halt", "halt-flatten", "lift"]) byId(id).hidden = state.recorded || state.readOnly;
  for (const button of document.querySelectorAll("dialog .halt")) button.hidden = state.recorded || state.readOnly;
  byId("lift").disabled = !status.halts.length || !mayAct();
  byId("halt-flatten").disabled = !mayAct();
  setClass(byId("halt"), "latched", status.halts.some((row) => row.what === "engine"));
}

// What keeps positions from being opened: a halt of all or of a market, a stopped strategy, a pause.
const STOPPED = [["HALTED", ["engine", "market"]], ["STOPPED", ["strategy", "stopped"]], ["PAUSED", ["pause"]]];
const isHalt = (row) => row.what === "engine" || row.what === "market";

function reasonOf(row) {
  const name = row.name || (row.what === "pause" ? "all" : "");
  const reason = row.what === "pause" ? "" : row.reason;
  return [name, reason].filter(Boolean).join(": ") || row.what;
}

function showLine(stream, why) {
  const line = byId("line");
  const { status } = state;
  const stale = !stream.isFresh();
  let text = "";
  if (journalChanged()) text = "ANOTHER ENGINE answers here. Reload this page. Only Halt is sent.";
  else if (stale) {
    const silent = stream.silentMs > SILENCE_SHOWN_MS ? `${why === SILENCE ? "" : `, ${SILENCE}`} for ${age(stream.silentMs)}` : "";
    text = state.seq ? `STALE: ${why}${silent}. Only Halt is sent.` : `Connecting: ${why}.`;
  } else if (status) {
    const parts = [];
    for (const [word, kinds] of STOPPED) {
      const rows = status.halts.filter((row) => kinds.includes(row.what));
      if (rows.length) parts.push(`${word} (${rows.map(reasonOf).join("; ")})`);
    }
    if (status.stopping && status.running) parts.push("stopping");
    if (!status.running) parts.push("no session runs");
    parts.push(`feeds ${status.feeds_up}/${status.feeds}`, `lag ${status.lag_ms} ms`, `seq ${state.seq}`, `${clock(state.at)} UTC`);
    text = parts.join(" · ");
  }
  setText(line, text);
  const tone = stale || journalChanged() ? "stale" : status?.halts.some(isHalt) ? "halted" : status?.halts.length ? "paused" : "fresh";
  if (line.dataset.tone !== tone) {
    line.dataset.tone = tone;
    // Read out once, when it turns; the line itself changes all the time.
    setText(byId("alert"), tone === "fresh" ? "The page is current." : text);
  }
  setClass(document.documentElement, "is-stale", tone === "stale");
}

start();
