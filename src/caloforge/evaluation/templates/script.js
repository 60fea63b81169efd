"use strict";
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => {
      const cell = row.cells[column];
      if (!cell || cell.colSpan > 1) return null;
      const value = cell.dataset.v;
      if (value === undefined) return cell.textContent;
      return value === "" ? null : Number.isNaN(Number(value)) ? value : Number(value);
    };
    const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
    const rows = [...body.rows].map(row => [key(row), row]);
    // Rows without a value stay at the end, whichever way the others are sorted.
    rows.sort(([a], [b]) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : (up ? 1 : -1) * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  });
}
for (const input of document.querySelectorAll(".filter input")) {
  input.addEventListener("input", () => {
    const words = input.value.trim().toLowerCase();
    for (const row of input.closest("section").querySelectorAll("tbody tr")) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(words);
    }
  });
}
for (const image of document.querySelectorAll(".paper img")) {
  image.addEventListener("click", () => image.parentNode.classList.toggle("zoom"));
}
