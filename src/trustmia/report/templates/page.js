"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const chooser = document.getElementById("chooser");
const themeButton = document.getElementById("theme");
const darkByDefault = matchMedia("(prefers-color-scheme: dark)");
let theme = darkByDefault.matches ? "dark" : "light";
let views = [];

// Tables travel as columns: numbers, or codes of distinct texts.
function rows(columns) {
  const names = Object.keys(columns);
  const read = names.map((name) => {
    const { codes, levels } = columns[name];
    return codes ? (i) => levels[codes[i]] ?? null : (i) => columns[name][i];
  });
  const first = columns[names[0]];
  const count = (first.codes ?? first).length;
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(names.map((name, column) => [name, read[column](i)])),
  );
}

const tables = Object.fromEntries(
  Object.entries(content.tables).map(([name, columns]) => [name, rows(columns)]),
);

function choice() {
  return Object.fromEntries(new FormData(chooser));
}

function chosenFor(element) {
  const fixed = element.dataset.variantFixed;
  return fixed ? { ...choice(), variant: fixed } : choice();
}

function specification(name, chosen) {
  const { table, choices, spec } = content.specs[name];
  const config = content.themes[theme];
  // What has the colour of ink follows the theme.
  const text = JSON.stringify(spec).replaceAll(`"${content.ink}"`, `"${config.title.color}"`);
  const result = JSON.parse(text);
  result.params = choices.map((key) => ({ name: key, value: chosen[key] }));
  result.datasets = { [table]: tables[table] };
  return result;
}

async function draw(element) {
  const spec = specification(element.dataset.chart, chosenFor(element));
  const { view, finalize } = await vegaEmbed(element, spec, {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    config: content.themes[theme],
    tooltip: { theme },
  });
  element.dataset.drawn = theme;
  return { element, view, finalize };
}

async function drawAll() {
  views.forEach(({ finalize }) => finalize());
  views = await Promise.all([...document.querySelectorAll(".chart")].map(draw));
}

async function show() {
  const chosen = choice();
  for (const key of Object.keys(chosen)) {
    for (const element of document.querySelectorAll(`[data-shows="${key}"]`)) {
      element.textContent = chosen[key];
    }
    for (const element of document.querySelectorAll(`[data-${key}]`)) {
      element.hidden = element.dataset[key] !== chosen[key];
    }
  }
  await Promise.all(
    views.map(({ element, view }) => {
      const { choices } = content.specs[element.dataset.chart];
      const wanted = chosenFor(element);
      choices.forEach((key) => view.signal(key, wanted[key]));
      return view.runAsync();
    }),
  );
}

function sortValue(row, column) {
  const cell = row.cells[column];
  const number = cell.dataset.value;
  return number === undefined ? cell.textContent : Number(number);
}

// Numbers before words, which stand for numbers that there are not.
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}

function sort(header) {
  const column = header.cellIndex;
  const ascending = header.ariaSort !== "ascending";
  for (const other of header.parentElement.cells) other.ariaSort = "none";
  header.ariaSort = ascending ? "ascending" : "descending";
  for (const body of header.closest("table").tBodies) {
    const sorted = [...body.querySelectorAll("tr:not(.group)")].sort((a, b) => {
      const order = compare(sortValue(a, column), sortValue(b, column));
      return ascending ? order : -order;
    });
    body.append(...sorted);
  }
}

async function setTheme(next) {
  theme = next;
  document.documentElement.style.colorScheme = theme;
  themeButton.textContent = theme === "dark" ? "Light" : "Dark";
  await drawAll();
}

for (const button of document.querySelectorAll("thead button")) {
  const header = button.parentElement;
  header.classList.toggle(
    "right",
    header.closest("table").querySelector(`td.number:nth-child(${header.cellIndex + 1})`) !== null,
  );
  button.addEventListener("click", () => sort(header));
}
chooser.addEventListener("change", show);
themeButton.addEventListener("click", () => setTheme(theme === "dark" ? "light" : "dark"));
darkByDefault.addEventListener("change", ({ matches }) => setTheme(matches ? "dark" : "light"));

document.documentElement.classList.add("js");
chooser.hidden = false;
themeButton.hidden = false;
show();
setTheme(theme).then(() => {
  document.documentElement.dataset.ready = "true";
});
