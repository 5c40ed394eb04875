// Pause, resume, cancel, flatten, disarm and stop. Nothing is chosen beforehand, and "all" is said in full.

import { commander, confirm, mayAct, outcomeIn } from "./commands.js";
import { element, setOptions } from "./dom.js";
import { state, watch } from "./state.js";

const ACTS = {
  pause: ["Pause", "No new risk; exits go on.", ["all", "strategy"]],
  resume: ["Resume", "Pauses and halts end.", ["all", "strategy", "market"]],
  cancel: ["Cancel orders", "Working orders are canceled; protective ones stay.", ["all", "strategy", "market"]],
  flatten: ["Flatten", "Positions are closed, then what was closed is paused.", ["all", "strategy", "market"]],
  disarm: ["Disarm", "Nothing is sent any more, exits included, until the engine starts again.", []],
  stop: ["Stop the engine", "The session ends as its configuration says.", []],
};
const NOTHING = "choose…";

// A book of no strategy can be closed and its orders canceled; there is nothing to pause.
const owners = (command) => [...state.strategies.values()]
  .filter((row) => row.use || command === "cancel" || command === "flatten").map((row) => row.name);

export function startControl(form) {
  const what = element("select", { id: "control-what", name: "what" });
  const of = element("select", { id: "control-of", name: "of" });
  const note = element("p", { class: "quiet note" });
  const button = element("button", { type: "submit", id: "control-send", text: "Continue…" });
  const outcome = element("p", { class: "outcome", role: "status", "aria-live": "polite" });
  form.replaceChildren(
    element("div", { class: "field" }, element("label", { for: "control-what", text: "Command" }), what),
    element("div", { class: "field" }, element("label", { for: "control-of", text: "Of" }), of),
    note, element("p", { class: "bar" }, button), outcome);
  const senders = Object.fromEntries(Object.keys(ACTS).map((command) => [command, commander(command)]));
  setOptions(what, [NOTHING, ...Object.keys(ACTS)]);

  function show() {
    const act = ACTS[what.value];
    const kinds = act?.[2] ?? [];
    const choices = kinds.length ? [NOTHING] : ["–"];
    if (kinds.includes("all")) choices.push("all");
    if (kinds.includes("strategy")) choices.push(...owners(what.value).map((name) => `strategy ${name}`));
    if (kinds.includes("market")) choices.push(...[...state.instruments.keys()].map((name) => `market ${name}`));
    setOptions(of, choices);
    note.textContent = act?.[1] ?? "";
    button.disabled = !act || of.value === NOTHING || !mayAct();
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [title, text] = ACTS[what.value];
    const chosen = of.value;
    const members = chosen === "all" ? { all: true } : {};
    const named = /^(strategy|market) (.*)$/s.exec(chosen);
    if (named) members[named[1]] = named[2];
    const sure = await confirm({ title: `${title} ${chosen === "–" ? "" : chosen}?`, text, yes: title });
    if (sure) await senders[what.value](members, outcomeIn(outcome));
  });
  watch(["loaded", "strategies", "fresh", "status"], show);
  show();
}
