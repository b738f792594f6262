// Without this script the page shows the first two runs. With it, a slider shows every run, and a pointer or the arrow
// keys tell what each page is.
"use strict";
const classes = new Map([...document.querySelectorAll(".legend li")].map((it) => [it.dataset.letter, it]));
const writers = [...document.querySelectorAll("#writers tbody tr")].map((row) => row.cells[0].textContent);
const about = document.getElementById("about");
const MOST_WRITERS = 5;
const PAGE = Number(document.body.dataset.page);
let at = null;

// Shows the given run in every picture of the second section.
function showRun(run) {
  for (const group of document.querySelectorAll("g[data-runs]")) {
    const letters = group.dataset.runs.split(" ")[run - 2];
    [...group.children].forEach((cell, i) => {
      const it = classes.get(letters[i]);
      cell.setAttribute("class", it.dataset.word);
    });
    group.dataset.cells = letters;
  }
  for (const text of document.querySelectorAll("h3[data-runs], p[data-runs], svg > title[data-runs]")) {
    text.textContent = text.dataset.runs.split("\n")[run - 2];
  }
  document.getElementById("number").textContent = run;
  about.textContent = "";
}

// Tells who first wrote the pages of a cell.
function firstWriters(group, first, last) {
  const found = new Set();
  for (const run of (group.dataset.writers || "").split(" ").filter(Boolean)) {
    const [start, end, writer] = run.split(/[-:]/).map(Number);
    if (start <= last && end > first) found.add(writers[writer]);
  }
  const names = [...found].slice(0, MOST_WRITERS).join(", ");
  const more = found.size > MOST_WRITERS ? ` and ${found.size - MOST_WRITERS} more` : "";
  return names && `; first written by ${names}${more}`;
}

// Tells what a cell is, and marks it.
function tell(cell) {
  if (at) at.classList.remove("at");
  at = cell;
  cell.classList.add("at");
  const group = cell.parentElement;
  const each = Number(group.dataset.each);
  const index = [...group.children].indexOf(cell);
  const first = index * each;
  const last = Math.min(first + each, Number(group.dataset.pages)) - 1;
  const kind = classes.get(group.dataset.cells[index]);
  const pages = first === last ? `page ${first}` : `pages ${first} to ${last}`;
  const address = `0x${(first * PAGE).toString(16).padStart(8, "0")}`;
  let text = `${group.dataset.region}, ${pages}, at ${address}: ${kind.dataset.meaning}`;
  if (kind.dataset.private === "true") text += firstWriters(group, first, last);
  about.textContent = text;
}

for (const svg of document.querySelectorAll("svg.stage")) {
  const cells = [...svg.querySelectorAll("g[data-cells] rect")];
  svg.addEventListener("pointerover", (event) => {
    if (event.target.matches("g[data-cells] rect")) tell(event.target);
  });
  svg.addEventListener("keydown", (event) => {
    const columns = 64;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const now = cells.indexOf(at);
    let next = now + step;
    if (event.key === "Home") next = 0;
    else if (event.key === "End") next = cells.length - 1;
    else if (step === undefined) return;
    else if (now < 0) next = 0;
    event.preventDefault();
    tell(cells[Math.max(0, Math.min(cells.length - 1, next))]);
  });
}

const slider = document.getElementById("run");
if (slider) {
  slider.closest(".slider").hidden = false;
  slider.addEventListener("input", () => showRun(Number(slider.value)));
}
