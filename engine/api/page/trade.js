// What became of orders: those that ended, and requests that were refused.

import { byId } from "./dom.js";
import { clock, plain } from "./format.js";
import { orderColumns } from "./overview.js";
import { keyOfOrder, state, watch } from "./state.js";
import { Table } from "./table.js";
import { whyColumn } from "./why.js";

export function startTrade() {
  const ended = new Table(byId("ended"), {
    name: "Ended orders", key: keyOfOrder, empty: "No order has ended.",
    columns: [
      { title: "UTC", width: "5rem", text: (row) => clock(row.updated_ms), hint: (row) => clock(row.updated_ms, true) },
      ...orderColumns(),
      { title: "Average", width: "6.5rem", numeric: true, text: (row) => plain(row.average) },
      { title: "Reason", width: "10rem", text: (row) => row.reason, hint: (row) => row.reason },
      whyColumn((row) => row.updated_seq || row.seq, (row) => `Why order ${row.id || row.handle}`),
    ],
  });
  const refusals = new Table(byId("refusals"), {
    name: "Refused requests", key: (row) => row.seq, empty: "No request was refused.",
    columns: [
      { title: "UTC", width: "5rem", text: (row) => clock(row.at_ms), hint: (row) => clock(row.at_ms, true) },
      { title: "Market", width: "7rem", text: (row) => row.instrument },
      { title: "Book", width: "7rem", text: (row) => row.owner },
      { title: "Side", width: "3.2rem", text: (row) => row.side, tone: (row) => (row.side === "buy" ? "up" : "down") },
      { title: "Size", width: "6rem", numeric: true, text: (row) => plain(row.size) },
      { title: "Rule", width: "10rem", text: (row) => row.rule },
      { title: "Reason", width: "16rem", text: (row) => row.reason, hint: (row) => row.reason },
      whyColumn(),
    ],
  });
  watch(["orders"], () => ended.update(state.ended));
  watch(["refusals"], () => refusals.update(state.refusals));
}
