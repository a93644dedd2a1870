"use strict";
// Without this script the page shows everything too: it only points, sorts and filters.
(() => {
  document.documentElement.classList.add("scripted");
  const { classes, cells } = JSON.parse(document.getElementById("data").textContent);
  const counts = new Map(cells.map(([row, column, count]) => [row * classes.length + column, count]));
  const totals = classes.map(() => 0);
  for (const [row, , count] of cells) totals[row] += count;

  const matrix = document.querySelector(".matrix");
  const readout = document.querySelector(".readout");
  const hint = readout.textContent;
  const { left, top, cell } = Object.fromEntries(
    Object.entries(matrix.dataset).map(([key, value]) => [key, Number(value)]));
  const rowBand = matrix.querySelector(".pointer.row");
  const columnBand = matrix.querySelector(".pointer.column");
  const rowNames = matrix.querySelectorAll(".rows text");
  const columnNames = matrix.querySelectorAll(".columns text");

  function clear() {
    matrix.querySelectorAll(".on").forEach((name) => name.classList.remove("on"));
    rowBand.setAttribute("hidden", "");
    columnBand.setAttribute("hidden", "");
    readout.textContent = hint;
  }

  function describe(row, column) {
    const count = counts.get(row * classes.length + column) ?? 0;
    const share = totals[row] ? `, ${(100 * count / totals[row]).toFixed(1)} %` : "";
    const what = row === column ? "recognised" : `taken for ${classes[column]}`;
    return `${classes[row]} ${what}: ${count} of ${totals[row]}${share}`;
  }

  matrix.addEventListener("pointermove", (event) => {
    const box = matrix.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - left) / cell);
    const row = Math.floor((event.clientY - box.top - top) / cell);
    clear();
    if (!(row in classes) || !(column in classes)) return;
    rowBand.removeAttribute("hidden");
    rowBand.setAttribute("y", row * cell);
    columnBand.removeAttribute("hidden");
    columnBand.setAttribute("x", column * cell);
    rowNames[row].classList.add("on");
    columnNames[column].classList.add("on");
    readout.textContent = describe(row, column);
  });
  matrix.addEventListener("pointerleave", clear);

  const table = document.querySelector(".sortable");
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((header, index) => {
    header.firstElementChild.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const isNumber = header.dataset.sort === "number";
      const key = (row) => isNumber ? Number(row.cells[index].dataset.value) : row.cells[index].textContent.trim();
      const compare = isNumber ? (a, b) => a - b : (a, b) => a.localeCompare(b);
      const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)) * (ascending ? 1 : -1));
      body.append(...rows);
    });
  });

  const filter = document.querySelector(".filter");
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of body.rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  });
})();
