// Filters claims and figures by text, figure and verdict. The page is complete without it.
const controls = document.getElementById("filters"), text = document.getElementById("by-text");
const byFigure = document.getElementById("by-figure"), byVerdict = document.getElementById("by-verdict");
const rows = [...document.querySelectorAll("#scorecard-table tbody tr")], shownFigures = [...document.querySelectorAll("section.figure")];
const described = (part) => [...part.querySelectorAll("img")].map((image) => image.alt).join(" ");
const words = new Map([...rows, ...shownFigures].map((part) => [part, `${part.textContent} ${described(part)}`.toLowerCase()]));
function fits(part) {
  return text.value.toLowerCase().split(/\s+/).every((word) => words.get(part).includes(word))
    && (!byFigure.value || part.dataset.figures.split(" ").includes(byFigure.value))
    && (!byVerdict.value || part.dataset.verdicts.split("|").includes(byVerdict.value));
}
function count(parts, name) {
  let shown = 0;
  for (const part of parts) { part.hidden = !fits(part); shown += !part.hidden; }
  return `${shown} ${name}${shown === 1 ? "" : "s"}`;
}
function filter() {
  document.getElementById("shown").textContent = `${count(rows, "claim")}, ${count(shownFigures, "figure")}`;
}
// A link leads to what is filtered away or folded too: shown again, or opened.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest("[hidden]")) { controls.reset(); filter(); }
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}
controls.hidden = false;
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", filter);
controls.addEventListener("reset", () => setTimeout(filter));
addEventListener("hashchange", reveal);
filter();
if (location.hash) reveal();
let folded = [];
addEventListener("beforeprint", () => { folded = [...document.querySelectorAll("details:not([open])")]; folded.forEach((part) => { part.open = true; }); });
addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
