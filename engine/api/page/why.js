// The chain of causes of a record: from what was asked about, back to the input it began with.

import { get } from "./api.js";
import { byId, element, setText } from "./dom.js";
import { recordText } from "./format.js";

let shown = 0;

export async function showWhy(seq) {
  if (!seq) return;
  const dialog = byId("why");
  shown = seq;
  setText(byId("why-title"), `Why seq ${seq}`);
  byId("why-chain").replaceChildren(element("li", { class: "quiet", text: "…" }));
  if (!dialog.open) dialog.showModal();
  let chain;
  try {
    chain = (await get(`why/${seq}`)).chain;
  } catch (error) {
    if (shown === seq) byId("why-chain").replaceChildren(element("li", { class: "bad", text: error.message }));
    return;
  }
  if (shown !== seq) return;
  byId("why-chain").replaceChildren(...chain.map((row) => cause(row, row.seq === seq)));
  byId("why-chain").lastElementChild?.scrollIntoView({ block: "nearest" });
}

function cause(row, asked) {
  const fields = Object.entries(row.fields ?? {});
  const pairs = element("dl", { class: "pairs" });
  for (const [name, value] of fields) {
    pairs.append(element("dt", { text: name }),
      element("dd", { text: typeof value === "string" ? value : JSON.stringify(value) }));
  }
  return element("li", { class: asked ? "asked" : null },
    element("p", {},
      element("strong", { text: row.type }), " ",
      element("span", { class: "quiet", text: `seq ${row.seq}${row.cause ? `, because of ${row.cause}` : ", from outside"}` })),
    element("p", { class: "code", text: recordText(row) }),
    element("details", {}, element("summary", { text: `Fields, ${row.at}` }), pairs));
}

export function startWhy() {
  byId("why-close").addEventListener("click", () => byId("why").close());
  byId("why").addEventListener("click", (event) => {
    if (event.target === byId("why")) byId("why").close();
  });
}

// The column that every table of rows with a `seq` ends with.
export const whyColumn = (seqOf = (row) => row.seq, name = (row) => `Why seq ${seqOf(row)}`) => ({
  title: "", width: "3.2rem",
  button: { label: "why", why: true, name, press: (row) => showWhy(seqOf(row)), shown: (row) => seqOf(row) > 0 },
});
