// Sending commands. While the page is stale, or another engine answers, nothing but a halt leaves it.

import { ApiError, journalChanged, journalId, newNonce, post } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { showWhy } from "./why.js";
import { onMessage, state } from "./state.js";

const ANSWER_MS = 10_000;
const WAIT_S = 2;
const FOLLOWED_MAX = 20;

let stream = null;

export function setStream(made) {
  stream = made;
}

export function mayAct() {
  return Boolean(stream?.isFresh()) && !journalChanged() && !state.recorded && !state.readOnly;
}

export function whyNot() {
  if (state.recorded) return "A recorded day takes no commands.";
  if (state.readOnly) return "This page only looks.";
  if (journalChanged()) return "Another engine answers here. Reload the page.";
  return "Nothing is received from the engine. Only Halt is sent.";
}

// Sends one command and shows its outcome. `nonce` was made with the ticket. Returns the answer, or null if it
// is not known whether the command was recorded (then the same ticket can be sent again).
export async function send(command, members, nonce, outcome = showOutcome) {
  if (command !== "halt" && !mayAct()) {
    outcome({ failed: true, text: whyNot() });
    return { state: "unsent" };
  }
  outcome({ text: `${command}: sent…` });
  try {
    const body = { command, nonce, journal: journalId(), wait_s: command === "halt" ? 0 : WAIT_S, ...members };
    const answer = await post("/api/commands", body, ANSWER_MS);
    const show = (found) => outcome({ seq: answer.seq, text: sentence(command, found), failed: found.state === "refused" });
    show(answer);
    if (answer.state === "working") follow(answer.seq, show);
    return answer;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const unknown = error.status === 0;
    outcome({
      failed: true,
      text: unknown
        ? `${command}: no answer. It may have been recorded; sending it again repeats nothing.`
        : `${command}: not accepted: ${error.message}`,
    });
    return unknown ? null : { state: "refused", reason: error.message };
  }
}

// What is still working when the answer comes is followed by the messages about it.
const followed = new Map();

function follow(seq, show) {
  followed.set(seq, show);
  if (followed.size > FOLLOWED_MAX) followed.delete(followed.keys().next().value);
}

onMessage("command", (row) => {
  followed.get(row.seq)?.(row);
  if (row.state === "done" || row.state === "refused") followed.delete(row.seq);
});

// What a command has left to do: each owner, market, and size or order.
export const leftWords = (left) => (left?.length ? `left: ${left.map((one) => one.filter(Boolean).join(" ")).join("; ")}` : "");

function sentence(command, answer) {
  const parts = [`${command}: ${answer.state}`];
  if (answer.reason) parts.push(answer.reason);
  if (answer.left?.length) parts.push(leftWords(answer.left));
  if (answer.tries) parts.push(`tries: ${answer.tries}`);
  return parts.join(", ");
}

export function outcomeIn(node) {
  return ({ seq, text, failed }) => {
    node.classList.toggle("bad", Boolean(failed));
    node.replaceChildren(text);
    if (seq) {
      node.append(" ", element("button", {
        type: "button", class: "link", text: `seq ${seq}: why`, onclick: () => showWhy(seq),
      }));
    }
  };
}

export const showOutcome = (outcome) => outcomeIn(byId("outcome"))(outcome);

// Asks before something that cannot be taken back. With `typed`, that text has to be typed.
export function confirm({ title, text, yes, typed }) {
  const dialog = byId("confirm");
  const input = byId("confirm-input");
  const button = byId("confirm-yes");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(button, yes);
  byId("confirm-typed").hidden = !typed;
  setText(byId("confirm-label"), typed ? `Type ${typed} to confirm` : "");
  input.value = "";
  button.disabled = Boolean(typed);
  input.oninput = () => { button.disabled = Boolean(typed) && input.value.trim() !== typed; };
  dialog.returnValue = "no";
  dialog.showModal();
  (typed ? input : dialog.querySelector("button[value=no]")).focus();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" && (!typed || input.value.trim() === typed));
  });
}

// A button of a row or a card: its nonce is made with the button and again after each recorded command.
export function commander(command) {
  let nonce = newNonce();
  return async (members, outcome) => {
    const answer = await send(command, members, nonce, outcome);
    if (answer && answer.state !== "unsent") nonce = newNonce();
    return answer;
  };
}

export function startKillSwitch() {
  const halt = commander("halt");
  const flatten = commander("flatten");
  const resume = commander("resume");
  byId("halt").addEventListener("click", () => halt({}));
  // A dialog covers the header, so each has the switch too.
  for (const button of document.querySelectorAll("dialog .halt")) {
    button.addEventListener("click", () => {
      button.closest("dialog").close("no");
      halt({});
    });
  }
  byId("halt-flatten").addEventListener("click", async () => {
    const answer = await halt({});
    if (answer) await flatten({ all: true });
  });
  byId("lift").addEventListener("click", async () => {
    const reasons = state.status.halts.map((row) => `${row.what} ${row.name}: ${row.reason}`).join("; ");
    const sure = await confirm({
      title: "Lift the halt?",
      text: `Strategies may open positions again. ${reasons}`,
      yes: "Lift the halt",
    });
    if (sure) await resume({ all: true });
  });
}
