"use strict";
// Numbers sort as numbers, and what is missing comes last in either direction.
function sortBy(header) {
  const body = header.closest("table").tBodies[0];
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if ((x === "–") !== (y === "–")) return x === "–" ? 1 : -1;
    const order = header.classList.contains("n") ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
    return down ? -order : order;
  };
  const rows = [...body.rows].sort(compare);
  for (const other of header.parentNode.cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows);
}
for (const header of document.querySelectorAll(".sortable th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}
// A link to an image opens its plots.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
// The same link again changes no hash.
addEventListener("click", (event) => {
  if (event.target.closest("a")?.hash === location.hash) openTarget();
});
// On paper there is nothing to open.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
});
openTarget();
