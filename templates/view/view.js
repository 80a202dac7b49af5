// The scripts of the pages: tables that sort, queries that run by Ctrl-Enter, runs that fill in, reports that are loaded
// again when they are written. Nothing is loaded from elsewhere, and all
// text is set as text.
"use strict";

// A cell's value: the number that it begins with (1,027; +3.8 ± 0.2; 2.9e-4), or else its text. Empty cells and dashes have none.
function valueOf(cell) {
  const text = cell ? cell.textContent.trim() : "";
  if (text === "" || text === "–" || text === "-") return null;
  const number = text.replace(/−/g, "-").match(/^[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?/i);
  return { text, number: number ? parseFloat(number[0].replace(/,/g, "")) : null };
}

function compare(left, right) {
  if (left.number !== null && right.number !== null && left.number !== right.number) return left.number - right.number;
  if ((left.number === null) !== (right.number === null)) return left.number === null ? 1 : -1;
  return left.text.localeCompare(right.text, "en", { numeric: true });
}

// Sorts by a column. Rows of equal values keep their order, and what has no value is last both ways.
function sort(table, column, descending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, value: valueOf(row.cells[column]) }));
  rows.sort((left, right) => {
    if (left.value === null || right.value === null) return (left.value === null) - (right.value === null);
    return descending ? compare(right.value, left.value) : compare(left.value, right.value);
  });
  body.append(...rows.map(({ row }) => row));
  Array.from(table.tHead.rows[0].cells).forEach((cell, index) => {
    if (index === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

// Makes the headers of all tables buttons. `#sort-2-3-desc` sorts the second table by its third column.
function sortable() {
  const tables = Array.from(document.querySelectorAll("main table")).filter((table) => table.tHead && table.tBodies.length);
  tables.forEach((table, at) => {
    Array.from(table.tHead.rows[0].cells).forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const descending = cell.getAttribute("aria-sort") === "ascending";
        sort(table, column, descending);
        history.replaceState(null, "", `#sort-${at + 1}-${column + 1}${descending ? "-desc" : ""}`);
      });
    });
  });
  const asked = location.hash.match(/^#sort-(\d+)-(\d+)(-desc)?$/);
  const table = asked && tables[asked[1] - 1];
  if (table && table.tHead.rows[0].cells[asked[2] - 1]) {
    sort(table, asked[2] - 1, Boolean(asked[3]));
    table.scrollIntoView();
  }
}

function runsByKeys() {
  const sql = document.getElementById("sql");
  if (!sql) return;
  sql.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) sql.form.requestSubmit();
  });
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function list(id, items, make) {
  document.getElementById(`${id}-section`).hidden = items.length === 0;
  document.getElementById(id).replaceChildren(...items.map(make));
}

// The most cells that are drawn.
const MOST_CELLS = 5000;

function showRun(run) {
  const state = document.getElementById("state");
  state.textContent = run.state;
  state.classList.toggle("live", run.is_running);
  document.getElementById("last").textContent = run.last;
  list("pieces", run.pieces, (piece) => {
    const line = element("li");
    const bar = element("progress");
    bar.max = Math.max(piece.of, 1);
    bar.value = piece.done;
    const far = `${piece.done} of ${piece.of} ${piece.unit}, ${piece.state}`;
    line.append(element("span", piece.name), bar, element("span", far, "quiet"), element("span", piece.label, "label"));
    return line;
  });
  const begun = `${run.pieces.length} begun`;
  document.getElementById("pieces-count").textContent = run.passes ? `${begun}, ${run.passes} planned` : begun;
  document.getElementById("heads-section").hidden = run.heads === 0;
  document.getElementById("heads-count").textContent = `${run.trained.length} of ${run.heads}`;
  document.getElementById("training").textContent = run.training;
  const cells = run.trained.slice(0, MOST_CELLS).map((head) => {
    const cell = element("i", "", "full");
    cell.title = head.remark ? `${head.label}: ${head.remark}` : head.label;
    return cell;
  });
  while (cells.length < Math.min(run.heads, MOST_CELLS)) cells.push(element("i"));
  document.getElementById("cells").replaceChildren(...cells);
  const line = (made) => element("li", made.remark ? `${made.label}: ${made.remark}` : made.label);
  list("metrics", run.metrics, line);
  list("failed", run.failed, line);
  list("reports", run.reports, (report) => {
    const link = element(report.startsWith("reports/") ? "a" : "span", report);
    if (link.localName === "a") link.href = `/${encodeURI(report)}`;
    const line = element("li");
    line.append(link);
    return line;
  });
}

function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// Asks every two seconds how a run stands, until it has ended.
async function follow(name) {
  const lost = document.getElementById("lost");
  for (;;) {
    try {
      const answer = await fetch(`/runs/${name}.json`);
      if (!answer.ok) return;
      const run = await answer.json();
      lost.hidden = true;
      showRun(run);
      if (!run.is_running) return;
    } catch {
      lost.hidden = false;
    }
    await after(2000);
  }
}

// Where the reader is on the page: which folded parts are open, and how far it is scrolled.
const PLACE = "repro-place";

function keepPlace() {
  const open = Array.from(document.querySelectorAll("details"), (part) => part.open);
  sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, open, top: scrollY }));
}

function findPlace() {
  const place = JSON.parse(sessionStorage.getItem(PLACE) || "{}");
  sessionStorage.removeItem(PLACE);
  if (place.path !== location.pathname) return;
  document.querySelectorAll("details").forEach((part, at) => { part.open = Boolean(place.open[at]); });
  scrollTo(0, place.top);
}

function showRunning(running) {
  const note = document.getElementById("running");
  note.hidden = !running;
  if (!running) return;
  const link = note.querySelector("a");
  link.href = `/runs/${running.name}`;
  link.textContent = running.progress;
}

// Asks every two seconds whether a report was written again, and loads it again then.
async function followReport(state) {
  for (;;) {
    await after(2000);
    if (document.hidden) continue;
    try {
      const answer = await fetch(`${location.pathname}?state=now`);
      if (!answer.ok) continue;
      const now = await answer.json();
      showRunning(now.running);
      if (now.state !== state) {
        keepPlace();
        location.reload();
        return;
      }
    } catch {
      // The server has ended. The report stays, and another one under the same address is asked.
    }
  }
}

sortable();
runsByKeys();
if (document.body.dataset.run) follow(document.body.dataset.run);
if (document.body.dataset.report) {
  findPlace();
  followReport(document.body.dataset.report);
}
