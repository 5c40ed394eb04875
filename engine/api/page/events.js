// The records of the journal as they come, or from a seq on.

import { get } from "./api.js";
import { byId } from "./dom.js";
import { recordText } from "./format.js";
import { state } from "./state.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

const ROWS_MAX = 300;
const LIMIT = 200;
const POLL_MS = 1000;

export function startEvents(isVisible) {
  let rows = [];
  let after = null;
  let loading = false;
  let shownSeq = null;
  const table = new Table(byId("event-rows"), {
    name: "Records of the journal", key: (row) => row.seq, empty: "No record of these types.",
    columns: [
      { title: "Seq", width: "6rem", numeric: true, text: (row) => String(row.seq) },
      { title: "UTC", width: "8rem", text: (row) => row.at.slice(11, 23) },
      { title: "Type", width: "9rem", text: (row) => row.type },
      { title: "Record", text: recordText, hint: (row) => row.text },
      whyColumn(),
    ],
  });

  async function load() {
    if (loading) return;
    loading = true;
    try {
      const answer = await get("events", { after, limit: LIMIT, kinds: byId("events-kinds").value.replace(/\s/g, "") });
      if (answer.events.length) {
        after = answer.events.at(-1).seq;
        rows = [...answer.events.reverse(), ...rows].slice(0, ROWS_MAX);
      } else if (answer.next_after !== null) {
        after = answer.next_after;
      }
      table.update(rows);
    } catch (error) {
      table.empty.textContent = error.message;
    } finally {
      loading = false;
    }
  }

  byId("events-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = byId("events-after").value.trim();
    rows = [];
    after = /^\d+$/.test(typed) ? Number(typed) : Math.max(state.seq - LIMIT, 0);
    load();
  });
  setInterval(() => {
    if (document.hidden || !isVisible() || !byId("events-follow").checked) return;
    if (state.recorded && shownSeq !== state.seq) {
      rows = [];
      after = null;
    } else if (state.recorded) {
      return;
    }
    shownSeq = state.seq;
    if (after === null) after = Math.max(state.seq - LIMIT, 0);
    load();
  }, POLL_MS);
}
