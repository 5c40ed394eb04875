"use strict";
// The table of round trips: a page of rows at a time, sorted by any column; a row opens its causes.

(() => {
  const block = document.getElementById("trips");
  const body = document.querySelector("#trips-table tbody");
  if (!block || !body) return;
  const data = JSON.parse(block.textContent);
  const text = (at) => data.texts[at];
  const MINUS = "\u2212";
  const PAGE = 25;

  const digits = (value) => (Math.abs(value) >= 0.1 || value === 0 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 2 });
  const shown = (value) => value.toLocaleString("en-US", digits(value)).replace("-", MINUS);
  const signed = (value) => (value > 0 ? `+${shown(value)}` : shown(value));
  const price = (value) => value === null ? "\u2013" : value.toLocaleString("en-US", { maximumSignificantDigits: 8 });
  // Percentages of a column have the same decimals, so that their points stand below each other.
  const percent = (value, sign = "") => value === null ? "\u2013" : `${value > 0 ? sign : ""}${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).replace("-", MINUS)} %`;
  const moment = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);

  function length(ms) {
    const parts = [];
    let rest = Math.floor(ms / 1000);
    for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
      const count = Math.floor(rest / size);
      rest -= count * size;
      if (count || parts.length) parts.push(`${count} ${name}`);
      if (parts.length === 2) break;
    }
    return parts.join(" ") || `${ms} ms`;
  }

  const trips = data.rows.map((row, at) => ({
    number: data.left + at + 1, strategy: text(row[0]), instrument: text(row[1]), side: text(row[2]), size: row[3],
    entered: row[4], exited: row[5], entry: row[6], exit: row[7], net: Number(row[8]), percent: row[9], fees: row[10],
    funding: row[11], mae: row[12], mfe: row[13], maePercent: row[14], mfePercent: row[15],
    entryReason: text(row[16]), exitReason: text(row[17]), exitBy: text(row[18]), entrySeq: row[19], exitSeq: row[20],
    entryPlots: row[21], exitPlots: row[22], entryBar: row[23], exitBar: row[24],
  }));

  // In the order of the headings: what a column sorts by, what it shows, its tone.
  const why = (trip) => (trip.exitReason && trip.exitReason !== trip.exitBy ? `${trip.exitReason} (${trip.exitBy})` : trip.exitReason || trip.exitBy);
  const tone = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");
  const columns = [
    { of: (trip) => trip.number },
    { of: (trip) => trip.instrument },
    { of: (trip) => trip.strategy },
    { of: (trip) => trip.side },
    { of: (trip) => Number(trip.size), show: (trip) => trip.size },
    { of: (trip) => trip.entered, show: (trip) => moment(trip.entered) },
    { of: (trip) => trip.entry ?? 0, show: (trip) => price(trip.entry) },
    { of: (trip) => trip.exit ?? 0, show: (trip) => price(trip.exit) },
    { of: (trip) => trip.exited - trip.entered, show: (trip) => length(trip.exited - trip.entered) },
    { of: (trip) => trip.net, show: (trip) => signed(trip.net), tone: (trip) => tone(trip.net) },
    { of: (trip) => trip.percent ?? 0, show: (trip) => percent(trip.percent, "+"), tone: (trip) => tone(trip.net) },
    { of: (trip) => trip.maePercent, show: (trip) => percent(trip.maePercent) },
    { of: (trip) => trip.mfePercent, show: (trip) => percent(trip.mfePercent) },
    { of: (trip) => trip.entryReason },
    { of: why },
  ];
  const headings = [...document.querySelectorAll("#trips-table thead th")];
  const numeric = headings.map((heading) => heading.classList.contains("numeric"));
  let order = trips.slice();
  let first = 0;
  let sorted = { column: 0, falling: false };

  const make = (name, content = "", className = "") => {
    const element = document.createElement(name);
    element.textContent = content;
    if (className) element.className = className;
    return element;
  };

  function draw() {
    const rows = order.slice(first, first + PAGE).map((trip) => {
      const row = document.createElement("tr");
      columns.forEach((column, at) => {
        const content = String((column.show ?? column.of)(trip));
        const cell = make(at ? "td" : "th", at ? content : "", numeric[at] ? "numeric" : "");
        if (!at) {
          cell.scope = "row";
          const button = make("button", content, "open");
          button.type = "button";
          button.setAttribute("aria-expanded", "false");
          button.setAttribute("aria-label", `causes of round trip ${content}`);
          button.addEventListener("click", () => toggle(row, button, trip));
          cell.append(button);
        }
        if (at >= columns.length - 2) cell.title = content;
        const shade = column.tone?.(trip);
        if (shade) cell.dataset.tone = shade;
        row.append(cell);
      });
      row.addEventListener("click", (event) => {
        if (!event.target.closest("button") && getSelection().isCollapsed) row.querySelector("button").click();
      });
      return row;
    });
    body.replaceChildren(...rows);
    const last = Math.min(order.length, first + PAGE);
    document.getElementById("trips-place").textContent = `${first + 1}\u2013${last} of ${order.length}`;
    document.getElementById("trips-back").disabled = first === 0;
    document.getElementById("trips-next").disabled = last >= order.length;
    headings.forEach((heading, at) => {
      if (at === sorted.column) heading.setAttribute("aria-sort", sorted.falling ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
  }

  function toggle(row, button, trip) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      row.nextElementSibling.remove();
      return;
    }
    const detail = make("tr", "", "detail");
    const cell = document.createElement("td");
    cell.colSpan = columns.length;
    // As wide as what is visible of the table, which scrolls below it.
    const inside = make("div", "", "inside");
    inside.style.width = `${row.closest(".scroll").clientWidth - 16}px`;
    cell.append(inside);
    const sides = make("div", "", "columns");
    sides.append(
      side("Entry", trip.entrySeq, trip.entered, trip.entryReason, trip.entryPlots),
      side("Exit", trip.exitSeq, trip.exited, why(trip), trip.exitPlots),
    );
    const facts = make("p", `net ${signed(trip.net)}, fees ${trip.fees}, funding ${trip.funding}, worst ${trip.mae}, best ${trip.mfe} while it was open`, "quiet");
    inside.append(facts);
    if (trip.entryBar >= 0) {
      const show = make("button", "Show on the chart");
      show.type = "button";
      show.addEventListener("click", () => document.dispatchEvent(new CustomEvent("show-trip", { detail: {
        name: trip.instrument, entry: trip.entryBar, exit: trip.exitBar, tone: trip.net >= 0 ? "up" : "down", from: trip.entry, to: trip.exit ?? trip.entry,
      } })));
      inside.append(show);
    }
    inside.append(sides);
    detail.append(cell);
    row.after(detail);
  }

  function side(title, seq, ms, reason, plots) {
    const part = document.createElement("div");
    part.append(make("h3", `${title}, seq ${seq}`), make("p", reason ? `${moment(ms)}: ${reason}` : moment(ms)));
    if (plots.length) {
      const list = [];
      for (let at = 0; at < plots.length; at += 2) list.push(`${text(plots[at])} ${plots[at + 1] ?? "not a number"}`);
      part.append(make("p", list.join(", ")));
    }
    const chain = data.chains[String(seq)];
    if (chain) {
      const list = make("ol", "", "chain");
      for (const [, line] of chain) list.append(make("li", line));
      part.append(list);
    }
    const command = make("p", "", "command");
    const line = `engine why ${folder(ms)} ${seq}`;
    const copy = make("button", "copy");
    copy.type = "button";
    copy.dataset.copy = line;
    copy.setAttribute("aria-label", `copy ${line}`);
    command.append(make("code", line), copy);
    part.append(command);
    return part;
  }

  function folder(ms) {
    const day = new Date(ms).toISOString().slice(0, 10);
    return data.folders[day] ?? `${data.root}/${day}`;
  }

  headings.forEach((heading, at) => {
    heading.querySelector("button").addEventListener("click", () => {
      sorted = { column: at, falling: sorted.column === at ? !sorted.falling : numeric[at] && at > 0 };
      const { of } = columns[at];
      order = trips.slice().sort((a, b) => {
        const [one, other] = [of(a), of(b)];
        const compared = one < other ? -1 : one > other ? 1 : 0;
        return (sorted.falling ? -compared : compared) || a.number - b.number;
      });
      first = 0;
      draw();
    });
  });
  document.getElementById("trips-back").addEventListener("click", () => { first = Math.max(0, first - PAGE); draw(); });
  document.getElementById("trips-next").addEventListener("click", () => { first += PAGE; draw(); });
  draw();
})();
