"use strict";
// Sorts tables, highlights an activation in all figures, and shows values of figures.
// Without it the page can be read as it is.

// --- Tables are sorted by a click on the name of a column ---
function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" || Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stands last
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

function sort(table, heading) {
  const descending = heading.getAttribute("aria-sort") !== "descending";
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const column = heading.cellIndex;
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => {
    const [a, b] = [value(one, column), value(other, column)];
    const order = compare(a, b);
    return descending && a !== "" && b !== "" ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}

// --- Tables that are wider than the page say so ---
function tellWider() {
  for (const scroll of document.querySelectorAll(".scroll")) {
    scroll.classList.toggle("wider", scroll.scrollWidth > scroll.clientWidth);
  }
}
tellWider();
addEventListener("resize", tellWider);
document.addEventListener("toggle", tellWider, true); // what is opened gets a width

// --- One activation stands out in all figures ---
const marked = [...document.querySelectorAll("[data-of]")];
let chosen = ""; // in the list; what is pointed at goes before it

function highlight(activation) {
  for (const element of marked) {
    const isOther = activation !== "" && element.dataset.of !== activation;
    element.classList.toggle("lit", activation !== "" && !isOther);
    element.classList.toggle("dim", isOther && element.tagName !== "TR");
  }
}

const activations = [...new Set(marked.map((element) => element.dataset.of))].sort();
if (activations.length) {
  const tools = document.querySelector(".tools");
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.append(new Option("all", ""), ...activations.map((name) => new Option(name, name)));
  select.addEventListener("change", () => highlight((chosen = select.value)));
  label.append("Highlight ", select);
  tools.append(label);
  tools.hidden = false;
}
for (const element of document.querySelectorAll("tr[data-of], li[data-of]")) {
  element.addEventListener("pointerenter", () => highlight(element.dataset.of));
  element.addEventListener("pointerleave", () => highlight(chosen));
}

// --- Values of figures, by pointing at them or with the arrow keys ---
const NEAR = 30; // pixels
const status = document.getElementById("status");

for (const data of document.querySelectorAll("figure > script")) {
  const figure = data.parentNode;
  const svg = figure.querySelector("svg");
  const values = JSON.parse(data.textContent); // [x, y, text, activation]
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.ariaHidden = "true";
  figure.append(tip);
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  mark.setAttribute("class", "mark");
  mark.setAttribute("r", 6);
  let current = -1;

  const scale = () => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;

  function hide() {
    current = -1;
    tip.hidden = true;
    mark.remove();
    highlight(chosen);
  }

  function show(index) {
    const [x, y, text, activation] = values[(current = index)];
    tip.textContent = text;
    tip.hidden = false;
    const left = x * scale() - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, figure.offsetWidth - tip.offsetWidth))}px`;
    const above = y * scale() - tip.offsetHeight - 12;
    tip.style.top = `${above < 0 ? y * scale() + 12 : above}px`;
    mark.setAttribute("cx", x);
    mark.setAttribute("cy", y);
    svg.append(mark);
    highlight(activation);
  }

  function point(event) {
    const box = svg.getBoundingClientRect();
    let [nearest, best] = [-1, NEAR];
    values.forEach(([x, y], index) => {
      const away = Math.hypot(
        x * scale() - (event.clientX - box.left), y * scale() - (event.clientY - box.top));
      if (away < best) [nearest, best] = [index, away];
    });
    if (nearest < 0) hide();
    else if (nearest !== current) show(nearest);
  }
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", hide);

  figure.tabIndex = 0;
  figure.setAttribute("role", "group");
  figure.setAttribute("aria-label", svg.getAttribute("aria-label").split(/[.:] /)[0]);
  figure.setAttribute("aria-describedby", "keys");
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const last = values.length - 1;
    const next = {
      ArrowRight: current < last ? current + 1 : 0,
      ArrowLeft: current > 0 ? current - 1 : last,
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Escape") hide();
    else if (next !== undefined) {
      event.preventDefault();
      show(next);
      status.textContent = values[next][2];
    }
  });
}

// --- On paper, everything is open ---
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
