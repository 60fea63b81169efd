// What axe-core asks of a page and the theme leaves out.
(() => {
  // Captions of the navigation are headings without a level; its two sidebars have no names.
  document.querySelectorAll(".caption[role=heading]").forEach((caption) => caption.setAttribute("aria-level", "2"));
  document.querySelector("aside.sidebar-drawer")?.setAttribute("aria-label", "Pages");
  document.querySelector("aside.toc-drawer")?.setAttribute("aria-label", "On this page");

  // What scrolls sideways can be reached by keyboard (WCAG 2.1.1).
  const names = {
    ".formula": "Formula",
    ".table-wrapper": "Table",
    ".highlight pre": "Listing",
    "figure.schematic > div": "Schematic",
    ".cell_output": "Output",
  };
  const update = () => {
    for (const [selector, name] of Object.entries(names)) {
      for (const box of document.querySelectorAll(selector)) {
        const scrolls = box.scrollWidth > box.clientWidth;
        const attributes = { tabindex: "0", role: "group", "aria-label": name };
        for (const [key, value] of Object.entries(attributes)) {
          if (scrolls) box.setAttribute(key, value);
          else box.removeAttribute(key);
        }
      }
    }
  };
  addEventListener("load", update);
  addEventListener("resize", update);
})();
