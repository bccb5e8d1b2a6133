
// Curves over the epochs: hover for the values, choose another score in the last panel. No library.
"use strict";
const course = JSON.parse(document.getElementById("course").textContent);
const COLOURS = ["var(--accent)", "var(--second)"];
const W = 360, H = 190, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 24;

function svg(name, attributes, parent, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function short(value) {
  if (value === undefined || value === null) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(+value.toPrecision(3));
}

// round steps: 1, 2 or 5 times a power of ten
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(n => n * power >= raw);
  const out = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) out.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return out;
}

function points(name) {
  return course.filter(row => Number.isFinite(row[name])).map(row => [row.epoch, row[name]]);
}

function draw(box, names) {
  const series = names.map((name, i) => ({name, colour: COLOURS[i], points: points(name)})).filter(s => s.points.length);
  box.querySelector("svg")?.remove();
  const picture = svg("svg", {viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img"}, box);
  picture.setAttribute("viewBox", `0 0 ${box.clientWidth - 24 || W} ${H}`);
  const width = box.clientWidth - 24 || W;
  const values = series.flatMap(s => s.points.map(p => p[1]));
  const epochs = course.map(row => row.epoch);
  const first = Math.min(...epochs), last = Math.max(...epochs);
  let low = Math.min(...values), high = Math.max(...values);
  if (!values.length) [low, high] = [0, 1];
  if (high - low < 1e-12) { const room = Math.abs(high) * 0.1 || 1; low -= room; high += room; }
  const x = e => LEFT + (last > first ? (e - first) / (last - first) : 0.5) * (width - LEFT - RIGHT);
  const y = v => H - BOTTOM - (v - low) / (high - low) * (H - TOP - BOTTOM);
  for (const t of ticks(low, high, 4)) {
    svg("line", {class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(t), y2: y(t)}, picture);
    svg("text", {x: LEFT - 6, y: y(t) + 4, "text-anchor": "end"}, picture, short(t));
  }
  const steps = last > first ? ticks(first, last, 6).filter(Number.isInteger) : [first];
  for (const t of steps) svg("text", {x: x(t), y: H - 6, "text-anchor": "middle"}, picture, t);
  for (const s of series) {
    const path = s.points.map((p, i) => `${i ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("");
    svg("path", {d: path, fill: "none", stroke: s.colour, "stroke-width": 1.8, "stroke-linejoin": "round"}, picture);
    if (s.points.length < 25) for (const p of s.points) svg("circle", {cx: x(p[0]), cy: y(p[1]), r: 2.4, fill: s.colour}, picture);
  }
  const cursor = svg("line", {class: "cursor", y1: TOP, y2: H - BOTTOM, visibility: "hidden"}, picture);
  const say = row => legend(box, series, row);
  say();
  picture.onpointermove = event => {
    const at = (event.offsetX - LEFT) / (width - LEFT - RIGHT) * (last - first) + first;
    const row = course.reduce((a, b) => Math.abs(b.epoch - at) < Math.abs(a.epoch - at) ? b : a);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(row.epoch));
    cursor.setAttribute("visibility", "visible");
    say(row);
  };
  picture.onpointerleave = () => { cursor.setAttribute("visibility", "hidden"); say(); };
}

// names with their last values, or with those of the epoch under the pointer
function legend(box, series, row) {
  const place = box.querySelector(".legend");
  place.replaceChildren(...series.map(s => {
    const entry = document.createElement("span"), dot = document.createElement("i");
    dot.style.background = s.colour;
    const value = row ? row[s.name] : s.points.at(-1)[1];
    entry.append(dot, `${box.dataset.choose ? "" : s.name + " "}${short(value)}`);
    return entry;
  }));
  box.querySelector(".epoch").textContent = row ? `epoch ${row.epoch}` : "";
}

for (const box of document.querySelectorAll(".chart")) {
  let names = JSON.parse(box.dataset.names);
  const top = document.createElement("div"), left = document.createElement("div");
  const place = document.createElement("span"), epoch = document.createElement("span");
  top.className = "top"; place.className = "legend"; epoch.className = "epoch";
  if (box.dataset.choose) {
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", "score");
    const all = [...new Set(course.flatMap(Object.keys))].filter(name => name !== "epoch").sort();
    choice.append(...all.map(name => new Option(name, name, false, name === names[0])));
    choice.onchange = () => { names = [choice.value]; draw(box, names); };
    left.append(choice, " ");
  }
  left.append(place);
  top.append(left, epoch);
  box.append(top);
  draw(box, names);
  addEventListener("resize", () => draw(box, names));
}

for (const button of document.querySelectorAll(".commands button")) {
  button.onclick = async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "copied";
  };
}
