"use strict";
// Every page: headings that sort their table, buttons that copy a text. Loads nothing, changes nothing else.

(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.sort ?? cell.textContent;
    const amount = Number(given);
    return given === "" || Number.isNaN(amount) ? given : amount;
  };

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1; // Numbers first, texts and what has no number last.
  }

  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const body = heading.closest("table").tBodies[0];
      const falling = heading.getAttribute("aria-sort") !== "descending";
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, heading.cellIndex), row]);
      rows.sort((a, b) => {
        const order = compare(a[0], b[0]);
        return falling && typeof a[0] === typeof b[0] ? -order : order;
      });
      for (const [, row] of rows) body.append(row);
    });
  }

  // A page of a file has no clipboard of its own in some browsers: then the text is selected, ready to copy.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "selected";
    }
  });
})();
