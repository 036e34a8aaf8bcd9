"use strict";
// The page is whole without this: it opens the section that a link leads to, and sorts tables.

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

function sections() {
  return [...document.querySelectorAll("details")];
}

function printWhole() {
  const closed = sections().filter((section) => !section.open);
  window.addEventListener("afterprint", () => closed.forEach((section) => { section.open = false; }), { once: true });
  closed.forEach((section) => { section.open = true; });
}

function value(row, column, isText) {
  const cell = row.cells[column];
  if (isText) return cell.textContent.trim();
  const full = cell.querySelector("[title]");
  const number = Number.parseFloat((full ? full.title : cell.textContent).replaceAll(",", ""));
  return Number.isNaN(number) ? null : number;
}

function compare(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  return typeof one === "string" ? one.localeCompare(other) : one - other;
}

function sortBy(table, column, head) {
  const isText = head.classList.contains("text");
  const sorted = head.getAttribute("aria-sort");
  // The best comes first: the highest number, but the lowest loss and the first name.
  const falls = sorted === "ascending" || (sorted === null && !isText && !("low" in head.dataset));
  const body = table.tBodies[0];
  const ranked = [...body.rows].map((row) => [value(row, column, isText), row]);
  // A missing value stays last in both directions.
  ranked.sort(([one], [other]) => (one === null || other === null || !falls ? compare(one, other) : compare(other, one)));
  body.append(...ranked.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falls ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column, head));
    head.append(button);
  });
}

const all = document.getElementById("all");
all.hidden = false;
all.addEventListener("click", () => {
  const closed = sections().some((section) => section.classList.contains("section") && !section.open);
  for (const section of sections()) if (section.classList.contains("section")) section.open = closed;
  all.textContent = closed ? "Close all" : "Open all";
});

window.addEventListener("hashchange", openTarget);
window.addEventListener("beforeprint", printWhole);
openTarget();
