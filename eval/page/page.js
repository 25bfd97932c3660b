"use strict";
// Cases are drawn from the page's own JSON, a screenful at a time; all text goes in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = document.getElementById("svg").namespaceURI;
const GRID = 384;
const STEP = 12;
const TASKS = { vqa: "questions", report: "reports", grounding: "grounding" };
const list = document.getElementById("list");
const more = document.getElementById("more");
const form = document.getElementById("filters");
let shown = [];
let drawn = 0;
let current = -1;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const named = (key) => key.replaceAll("_", " ");

// ---- one case

function inks(regions) {
  const phrases = [...new Set(regions.map((region) => region.f))];
  return new Map(phrases.map((phrase, place) => [phrase, data.colours[place % data.colours.length]]));
}

/** What stands in the picture: regions of one source, and the truth. */
function regionsOf(item, source) {
  const shapes = data.images[item.i].shapes;
  const truth = shapes.filter((shape) => shape.k === "truth");
  const asked = (region) => !item.f || item.f.includes(region.f);
  const isClear = (region) => item.t === "grounding" || region.k === "evidence" || region.s >= data.threshold;
  const found = Array.isArray(source) ? source : shapes.filter((shape) => shape.k === source && isClear(shape));
  return { found: Array.isArray(source) ? found : found.filter(asked), truth: truth.filter(asked) };
}

function firstSource(item) {
  const kinds = new Set(data.images[item.i].shapes.map((shape) => shape.k).filter((kind) => kind !== "truth"));
  if (item.t === "grounding") return Object.keys(item.a)[0];
  if (kinds.size) return [...kinds][0];
  const given = Object.values(item.a).find((answer) => answer.e);
  return given ? given.e : [];
}

function regionShape(region, kind, ink, scale) {
  const [x0, y0, x1, y1] = region.b;
  const score = kind === "truth" ? "true" : `score ${region.s.toFixed(2)}`;
  const group = svg("g", { class: `region ${kind}` }, svg("title", {}, `${region.f}, ${score}`));
  group.style.setProperty("--ink", ink);
  if (region.m) group.append(svg("path", { d: region.m, transform: `scale(${scale})` }));
  group.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }));
  return group;
}

function key(text, ink, kind) {
  const made = element("span", { className: kind, textContent: text });
  made.style.setProperty("--ink", ink);
  return made;
}

function picture(item, source) {
  const image = data.images[item.i];
  const [width, height] = image.size;
  const { found, truth } = regionsOf(item, source);
  const colours = inks([...truth, ...found]);
  const scale = Math.max(width, height) / GRID;
  const label = image.uri ? `Image of ${item.id}` : `Regions of ${item.id}; the image was not found`;
  const canvas = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  if (image.uri) canvas.append(svg("image", { href: image.uri, width, height }));
  canvas.append(...truth.map((region) => regionShape(region, "truth", colours.get(region.f), scale)));
  canvas.append(...found.map((region) => regionShape(region, "found", colours.get(region.f), scale)));
  const keys = element("p", { className: "keys" });
  keys.append(...found.map((region) => key(`${region.f} ${region.s.toFixed(2)}`, colours.get(region.f), "found")));
  for (const phrase of new Set(truth.map((region) => region.f))) keys.append(key(`${phrase} (true)`, colours.get(phrase), "truth"));
  if (!image.uri) keys.append(element("em", { textContent: "image not found" }));
  return [canvas, keys];
}

function answerText(answer, light) {
  const text = element("dd", { className: "text" });
  if (answer.s && answer.s.length) {
    for (const sentence of answer.s) text.append(spoken(sentence, light), " ");
  } else {
    text.append(answer.p.trim() ? answer.p : element("em", { className: "none", textContent: "empty" }));
  }
  if (answer.read) text.append(element("span", { className: "read", textContent: ` read as ${answer.read}` }));
  return text;
}

function spoken(sentence, light) {
  const made = element("span", { textContent: sentence.p });
  if (!sentence.e.length) return made;
  made.className = "spoken";
  made.tabIndex = 0;
  made.title = sentence.e.map((region) => region.f).join(", ");
  for (const event of ["pointerenter", "focus"]) made.addEventListener(event, () => light(sentence.e));
  for (const event of ["pointerleave", "blur"]) made.addEventListener(event, () => light(null));
  return made;
}

function verdict(item, name, answer, choose) {
  const made = element("dd");
  const isMeasured = item.t === "report" || (item.t === "grounding" && item.r !== "no region");
  if (isMeasured && answer.v !== undefined) made.append(`${data.values[item.t]} ${answer.v.toFixed(2)} `);
  if (answer.m) made.append(element("span", { className: answer.m, textContent: (answer.m === "right" ? "✓ " : "✗ ") + answer.m }));
  const source = item.t === "grounding" ? name : answer.e;
  if (source && (item.t !== "grounding" || Object.keys(item.a).length > 1)) {
    const button = element("button", { type: "button", textContent: "regions", title: `show the regions of ${name}` });
    button.className = "screen";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => choose(button, source));
    made.append(" ", button);
  }
  return made;
}

function heading(item) {
  const facts = [TASKS[item.t], ...Object.entries(item.x).map(([axis, value]) => (axis === "level" ? `level ${value}` : value))];
  return element("h3", {}, element("b", { textContent: facts[0] }), ` · ${facts.slice(1).join(" · ")} · image of ${item.d} · ${item.id} · ${item.k}`);
}

function caseElement(item, place) {
  const figure = element("div", { className: "picture" });
  let source = firstSource(item);
  const usual = source;
  const draw = (regions) => figure.replaceChildren(...picture(item, regions || source));
  const answers = element("dl");
  const choose = (button, regions) => {
    const isOn = button.getAttribute("aria-pressed") === "true";
    answers.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(!isOn));
    source = isOn ? usual : regions;
    draw();
  };
  for (const name of data.systems[item.t].filter((system) => item.a[system])) {
    const answer = item.a[name];
    answers.append(element("dt", { textContent: name }), answerText(answer, draw), verdict(item, name, answer, choose));
  }
  draw();
  const reference = element("p", { className: "reference" }, element("span", { textContent: "reference " }), item.r);
  const words = element("div", { className: "words" }, element("p", { className: "question", textContent: item.q }), reference, answers);
  const made = element("section", { className: "case", tabIndex: -1 }, heading(item), figure, words);
  made.dataset.place = place;
  return made;
}

// ---- filters

function option(value, text = value) {
  return element("option", { value, textContent: text });
}

function fillFilters() {
  const count = (test) => data.cases.filter(test).length;
  const picks = ["worst", "random", "best"].filter((pick) => count((item) => item.k === pick));
  form.pick.append(option("", "all"), ...picks.map((pick) => option(pick, `${pick} (${count((item) => item.k === pick)})`)));
  form.task.append(option("", "all"), ...Object.keys(data.systems).map((task) => option(task, `${TASKS[task]} (${count((item) => item.t === task)})`)));
  fillStrata(count);
  const systems = new Map();
  for (const item of data.cases) for (const [name, answer] of Object.entries(item.a)) if (answer.m) systems.set(name, item.t);
  for (const name of systems.keys()) {
    const select = element("select", { name: "mark" }, option("", "any"), option("right"), option("wrong"));
    select.dataset.system = name;
    document.getElementById("marks").append(element("label", {}, `${name} `, select));
  }
}

function fillStrata(count) {
  form.stratum.append(option("", "all"));
  for (const axis of new Set(data.cases.flatMap((item) => Object.keys(item.x)))) {
    const values = [...new Set(data.cases.map((item) => item.x[axis]).filter(Boolean))].sort();
    const group = element("optgroup", { label: named(axis) });
    group.append(...values.map((value) => option(`${axis}=${value}`, `${value} (${count((item) => item.x[axis] === value)})`)));
    if (values.length > 1) form.stratum.append(group);
  }
}

function matches(item) {
  const [axis, ...value] = form.stratum.value.split("=");
  const wanted = [...form.querySelectorAll("[name=mark]")].filter((select) => select.value);
  const text = form.text.value.trim().toLowerCase();
  return (!form.pick.value || item.k === form.pick.value)
    && (!form.task.value || item.t === form.task.value)
    && (!axis || item.x[axis] === value.join("="))
    && wanted.every((select) => (item.a[select.dataset.system] || {}).m === select.value)
    && (!text || textOf(item).includes(text));
}

function textOf(item) {
  item.text ??= [item.q, item.r, item.id, ...Object.values(item.a).map((answer) => answer.p)].join("\n").toLowerCase();
  return item.text;
}

function filter() {
  shown = data.cases.filter(matches);
  drawn = 0;
  current = -1;
  list.replaceChildren();
  drawMore();
}

function drawMore() {
  const next = shown.slice(drawn, drawn + STEP);
  list.append(...next.map((item, place) => caseElement(item, drawn + place)));
  drawn += next.length;
  more.hidden = drawn >= shown.length;
  say();
}

function say() {
  const here = current >= 0 ? ` · case ${current + 1}` : "";
  document.getElementById("count").textContent = `${shown.length} of ${data.cases.length} cases${here}`;
}

function switches() {
  for (const name of ["masks", "boxes", "truth"]) list.classList.toggle(`no-${name}`, !form[name].checked);
}

// ---- keyboard

function walk(step) {
  if (!shown.length) return;
  current = Math.min(Math.max(current + step, 0), shown.length - 1);
  while (drawn <= current) drawMore();
  const made = list.children[current];
  made.focus({ preventScroll: true });
  made.scrollIntoView({ block: "start" });
  say();
}

const KEYS = {
  j: () => walk(1),
  k: () => walk(-1),
  ArrowRight: () => walk(1),
  ArrowLeft: () => walk(-1),
  "/": () => form.text.focus(),
  m: () => form.masks.click(),
  b: () => form.boxes.click(),
  t: () => form.truth.click(),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input[type=search], select");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (event.key.startsWith("Arrow") && event.target.closest(".scroll, pre")) return; // they scroll that frame
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
list.addEventListener("focusin", (event) => {
  const made = event.target.closest(".case");
  if (made) current = Number(made.dataset.place);
});

// ---- the rest of the page

/** Two selects in place of all strata tables one below the other. */
function chooseStrata() {
  const figures = [...document.querySelectorAll(".stratum")];
  if (figures.length < 2) return;
  const parts = [...new Set(figures.map((figure) => figure.dataset.part))];
  const part = element("select", { ariaLabel: "axis" }, ...parts.map((name) => option(name)));
  const metric = element("select", { ariaLabel: "metric" });
  const show = () => figures.forEach((figure) => { figure.hidden = figure.dataset.part !== part.value || figure.dataset.metric !== metric.value; });
  const fill = () => {
    const there = figures.filter((figure) => figure.dataset.part === part.value);
    metric.replaceChildren(...there.map((figure) => option(figure.dataset.metric)));
    show();
  };
  part.addEventListener("change", fill);
  metric.addEventListener("change", show);
  const chooser = element("p", { className: "chooser screen" }, element("label", {}, "axis ", part), element("label", {}, "metric ", metric));
  figures[0].before(chooser);
  fill();
}

function theme(name) {
  document.documentElement.classList.remove("light", "dark");
  if (name) document.documentElement.classList.add(name);
}

function nextTheme() {
  const is = document.documentElement.classList;
  const isDark = is.contains("dark") || (!is.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  theme(isDark ? "light" : "dark");
}

for (const section of document.querySelectorAll("main > section")) {
  document.querySelector("nav").append(element("a", { href: `#${section.id}`, textContent: section.querySelector("h2").textContent }));
}
if (["#dark", "#light"].includes(location.hash)) theme(location.hash.slice(1));
document.getElementById("theme").addEventListener("click", nextTheme);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => (event.target.type === "checkbox" ? switches() : filter()));
form.addEventListener("reset", () => setTimeout(() => { switches(); filter(); }));
more.addEventListener("click", drawMore);
new IntersectionObserver((entries) => { if (entries[0].isIntersecting) drawMore(); }, { rootMargin: "400px" }).observe(more);
chooseStrata();
fillFilters();
filter();
