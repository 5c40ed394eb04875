// A table whose rows stay where they are while a person points at them or works in them.
//
// Cells are updated in place. Rows are added, removed and sorted only while neither the pointer nor the focus
// nor a selection is inside; until then new rows wait (their count is shown) and ended rows are struck through.
// The space a table takes is fixed by the style sheet, so no table moves another. One that `fits` takes the height
// of its rows, but changes it only while neither the pointer nor the focus is in the views. On a narrow screen such a
// table has a fixed height and shows each row as a card, so that nothing of a position is beyond the edge.

import { element, setClass, setText } from "./dom.js";

const ROWS_MIN = 2;
const ROWS_MAX = 8;
const ROW_REM = 1.85;

const busy = () => {
  const views = document.getElementById("views");
  return views.matches(":hover") || views.contains(document.activeElement);
};

export class Table {
  // `columns`: {title, text(row), tone?(row), hint?(row), numeric?, long?, width?, button?: {label, press(row), shown?}}.
  constructor(host, { name, columns, key, empty, fits }) {
    this.fits = fits;
    this.columns = columns;
    this.key = key;
    this.lines = new Map();
    this.rows = [];
    this.held = false;
    const widths = columns.map((column) => {
      const col = element("col");
      if (column.width) col.style.width = column.width;
      return col;
    });
    const heads = columns.map((column) =>
      element("th", { scope: "col", class: column.numeric ? "numeric" : null, text: column.title }));
    this.body = element("tbody");
    this.waiting = element("span", { class: "waiting", role: "status" });
    this.empty = element("p", { class: "quiet empty", text: empty ?? "None." });
    const table = element("table", { "aria-label": name },
      element("colgroup", {}, ...widths),
      element("thead", {}, element("tr", {}, ...heads)),
      this.body);
    // Narrower screens scroll inside the table; its columns keep their widths.
    table.style.minWidth = `calc(${columns.map((column) => column.width ?? "20rem").join(" + ")})`;
    host.tabIndex = 0;
    host.setAttribute("role", "region");
    host.setAttribute("aria-label", name);
    host.replaceChildren(this.waiting, table, this.empty);
    host.classList.toggle("cards", Boolean(fits));
    this.host = host;
    host.addEventListener("pointerenter", () => { this.over = true; });
    host.addEventListener("pointerleave", () => { this.over = false; this.settle(); });
    host.addEventListener("focusout", () => setTimeout(() => this.settle(), 0));
    document.addEventListener("selectionchange", () => this.settle());
  }

  isHeld() {
    if (this.over || (this.host !== document.activeElement && this.host.contains(document.activeElement))) return true;
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && selection.containsNode(this.host, true));
  }

  update(rows) {
    this.rows = rows;
    const held = this.isHeld();
    const present = new Set();
    let waits = 0;
    let previous = null;
    for (const row of rows) {
      const key = this.key(row);
      present.add(key);
      let line = this.lines.get(key);
      if (!line) {
        if (held && this.lines.size) {
          waits += 1;
          continue;
        }
        line = this.make();
        this.lines.set(key, line);
      }
      this.fill(line, row);
      setClass(line.node, "gone", false);
      if (!held) {
        const place = previous ? previous.nextSibling : this.body.firstChild;
        if (place !== line.node) this.body.insertBefore(line.node, place);
      } else if (!line.node.parentNode) {
        this.body.append(line.node);
      }
      previous = line.node;
    }
    for (const [key, line] of this.lines) {
      if (present.has(key)) continue;
      if (held) {
        setClass(line.node, "gone", true);
        // Its buttons are off. The focus goes to the table, where a key does nothing, and the row may leave.
        if (line.node.contains(document.activeElement)) this.host.focus({ preventScroll: true });
        for (const button of line.node.querySelectorAll("button.act")) button.disabled = true;
      } else {
        line.node.remove();
        this.lines.delete(key);
      }
    }
    this.pending = held;
    setText(this.waiting, waits ? `${waits} new` : "");
    this.empty.hidden = this.lines.size > 0;
    if (this.fits && !busy()) {
      const height = `${((Math.min(Math.max(this.lines.size, ROWS_MIN), ROWS_MAX) + 1) * ROW_REM + 0.6).toFixed(2)}rem`;
      if (this.host.style.height !== height) this.host.style.height = height;
    }
  }

  settle() {
    if (this.pending && !this.isHeld()) this.update(this.rows);
  }

  make() {
    const line = { row: null, cells: [] };
    line.node = element("tr");
    this.columns.forEach((column, index) => {
      const kinds = [column.numeric && "numeric", column.button && "does", column.long && "long"].filter(Boolean);
      const cell = element(index === 0 ? "th" : "td", {
        class: kinds.join(" ") || null, scope: index === 0 ? "row" : null, "data-label": column.title || null,
      });
      if (column.button) {
        const pressed = () => column.button.press(line.row);
        cell.append(element("button", {
          type: "button", class: column.button.why ? "link" : "act", text: column.button.label, onclick: pressed,
        }));
      }
      line.cells.push(cell);
      line.node.append(cell);
    });
    return line;
  }

  fill(line, row) {
    line.row = row;
    this.columns.forEach((column, index) => {
      const cell = line.cells[index];
      if (column.button) {
        const button = cell.firstChild;
        const shown = column.button.shown ? column.button.shown(row) : true;
        if (button.hidden === shown) button.hidden = !shown;
        button.disabled = false;
        const label = column.button.name ? column.button.name(row) : `${column.button.label}`;
        if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
        return;
      }
      setText(cell, column.text(row));
      const tone = column.tone ? column.tone(row) : "";
      if (cell.dataset.tone !== tone) cell.dataset.tone = tone;
      const hint = column.hint ? column.hint(row) : "";
      if (hint && cell.title !== hint) cell.title = hint;
    });
  }
}
