"use strict";
const FEW = 8;  // rows of a long table that a narrow screen shows at once
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
      if (value === "inf" || value === "-inf") return value === "inf" ? Infinity : -Infinity;
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
for (const section of document.querySelectorAll("section.table")) {
  const input = section.querySelector(".filter input"), all = section.querySelector("button.all");
  if (!input) continue;
  let few = window.matchMedia("(max-width: 600px)").matches;
  const show = () => {
    const words = input.value.trim().toLowerCase(), rows = [...section.querySelectorAll("tbody tr")];
    for (const [k, row] of rows.entries()) {
      row.hidden = words ? !row.cells[0].textContent.toLowerCase().includes(words) : few && k >= FEW;
    }
    all.hidden = !few || words !== "";
  };
  input.addEventListener("input", show);
  all.addEventListener("click", () => { few = false; show(); });
  show();
}
for (const image of document.querySelectorAll(".scroll.paper img")) {
  image.addEventListener("click", () => image.parentNode.classList.toggle("zoom"));
}
// A frame that scrolls can be reached by the keyboard, and only such a one.
const frames = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth + 1 || target.scrollHeight > target.clientHeight + 1;
    if (scrolls) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }
});
for (const frame of document.querySelectorAll(".scroll")) frames.observe(frame);
// Nothing stays folded on paper.
window.addEventListener("beforeprint", () => { for (const details of document.querySelectorAll("details")) details.open = true; });
