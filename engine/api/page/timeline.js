// The time line of recorded days: any moment of them, by dragging, by jumping to what happened, or by a link.

import { get, setMoment } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { clock } from "./format.js";
import { state } from "./state.js";

const KINDS = ["fill", "refusal", "gap", "halt", "command", "failure", "divergence"];
const WAIT_MS = 120;

// `moved()` reads everything again, as it was at the moment that was chosen.
export async function startTimeline(moved) {
  let marks = await get("marks", {}, {});
  const host = byId("timeline");
  const slider = element("input", {
    id: "timeline-at", type: "range", min: marks.first_ms, max: marks.last_ms, step: 1000, "aria-label": "Time of the day",
  });
  const at = element("output", { id: "timeline-now", for: "timeline-at" });
  const kind = element("select", { id: "timeline-kind" },
    ...["anything", ...KINDS].map((value) => element("option", { value, text: value })));
  const note = element("p", { id: "timeline-note", class: "quiet note", role: "status" });
  let moving = false;
  let next = null;
  let timer = 0;

  async function go(members, text = "") {
    next = [members, text];
    if (moving) return;
    moving = true;
    while (next) {
      const [wanted, said] = next;
      next = null;
      try {
        setMoment(wanted);
        const status = await moved();
        setMoment({ at: status.seq });
        slider.value = status.at_ms;
        const address = new URL(location.href);
        address.searchParams.set("seq", status.seq);
        history.replaceState(null, "", address);
        setText(at, `${clock(status.at_ms, true)} UTC, seq ${status.seq}`);
        setText(note, said);
      } catch (error) {
        setText(note, error.message);
      }
    }
    moving = false;
  }

  // A replay that goes on meanwhile may have added marks, so they are read again.
  async function jump(step) {
    try {
      marks = await get("marks", {}, {});
    } catch (error) {
      setText(note, error.message);
      return;
    }
    const wanted = (mark) => kind.value === "anything" || mark.kind === kind.value;
    const found = step > 0
      ? marks.marks.find((mark) => mark.seq > state.seq && wanted(mark))
      : marks.marks.findLast((mark) => mark.seq < state.seq && wanted(mark));
    if (found) go({ at: found.seq }, `${found.kind}: ${found.text}`);
    else setText(note, `There is no ${step > 0 ? "later" : "earlier"} ${kind.value === "anything" ? "mark" : kind.value}.`);
  }

  slider.addEventListener("input", () => {
    setText(at, `${clock(Number(slider.value), true)} UTC`);
    clearTimeout(timer);
    timer = setTimeout(() => go({ at_ms: slider.value }), WAIT_MS);
  });
  host.replaceChildren(
    element("div", { class: "bar" },
      slider, at,
      element("button", { type: "button", id: "timeline-back", text: "◀ Previous", onclick: () => jump(-1) }),
      element("label", {}, "Jump to ", kind),
      element("button", { type: "button", id: "timeline-next", text: "Next ▶", onclick: () => jump(1) })),
    note);
  host.hidden = false;
  const seq = new URL(location.href).searchParams.get("seq");
  await go(/^\d+$/.test(seq ?? "") ? { at: seq } : { at: marks.last_seq });
}
