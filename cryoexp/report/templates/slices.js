// Slices of figures/*.slices.json to page through, with labels laid over. Canvas, no library.
// Slider, arrow keys, or the wheel once the picture has the focus; the keys 1, 2, 3 … choose what is laid over.
"use strict";
(() => {
const IGNORE = 255, STRIPE = 2;

function element(name, parent, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  parent.append(node);
  return node;
}

function rgb(hex) { return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)); }

async function inflated(text) {
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [5, 2, 1].find(n => n * power <= most * (1 + 1e-9));
}

async function show(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent), still = figure.querySelector("img");
  const {width, height, at} = data, names = Object.keys(data.labels), labels = {};
  try {
    for (const name of names) labels[name] = await inflated(data.labels[name]);
  } catch (error) {
    console.error(error);
    figure.dataset.state = "still";
    element("p", figure, {}, "This browser cannot unpack the slices: the picture shows a few.");
    return;
  }
  if (still) still.hidden = true;
  const overlays = ["none", ...names, ...(data.pair.length ? ["difference"] : [])];
  const state = {slice: at.length >> 1, overlay: names.at(-1) ?? "none", opacity: 0.5, hidden: new Set()};
  const frames = new Map();
  let asked = 0;

  const box = element("div", figure, {class: "viewer"});
  const stage = element("div", box, {class: "stage", tabindex: 0, role: "application", "aria-label":
    `${figure.dataset.title}, slice by slice. Arrow keys and page keys go through the slices, number keys choose what is laid over.`});
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.maxWidth = `calc(min(680px, 80vh) * ${width / height})`;
  const canvas = element("canvas", stage), side = element("div", box, {class: "side"});
  const layer = document.createElement("canvas");
  [layer.width, layer.height] = [width, height];

  const slider = element("input", side, {type: "range", min: 0, max: at.length - 1, step: 1, "aria-label": "slice"});
  const place = element("p", side, {class: "place"});
  const choice = element("div", side, {class: "choice", role: "radiogroup", "aria-label": "laid over"});
  const name = `overlay-${Math.random().toString(36).slice(2)}`;
  const radios = overlays.map((overlay, i) => {
    const entry = element("label", choice), radio = element("input", entry, {type: "radio", name});
    entry.append(overlay);
    entry.title = `key ${i + 1}`;
    radio.onchange = () => set({overlay});
    return radio;
  });
  const fade = element("label", side, {class: "fade"}, "opacity");
  const opacity = element("input", fade, {type: "range", min: 0, max: 1, step: 0.05, "aria-label": "opacity"});
  opacity.value = state.opacity;
  const legend = element("div", side, {class: "legend"});
  element("p", side, {class: "hint"}, "← → go through the slices, and the wheel after a click on the picture");
  if (data.note) element("p", side, {class: "hint"}, data.note);

  function set(change) {
    Object.assign(state, change);
    state.slice = Math.max(0, Math.min(at.length - 1, state.slice));
    draw();
  }

  // what a voxel is laid over with: its class, or what became of it; a class switched off counts as background
  function code(voxel) {
    const seen = value => state.hidden.has(value) ? 0 : value;
    if (state.overlay !== "difference") return seen(labels[state.overlay][voxel]);
    const [truth, prediction] = data.pair.map(n => labels[n][voxel]);
    if (truth === IGNORE || prediction === IGNORE) return IGNORE;
    const [t, p] = [seen(truth), seen(prediction)];
    return t === p ? +(t > 0) : !p ? 2 : !t ? 3 : 4;
  }

  function lay() {
    const pen = layer.getContext("2d"), image = pen.createImageData(width, height), out = image.data;
    if (state.overlay !== "none") {
      const colours = (state.overlay === "difference" ? ["#000000", ...data.difference.map(d => d.colour)] : data.colours).map(rgb);
      for (let i = 0, first = state.slice * width * height; i < width * height; i++) {
        const value = code(first + i);
        if (value === IGNORE) {
          if (((i % width + Math.floor(i / width)) / STRIPE & 1) === 0) out[4 * i + 3] = 150;
        } else if (value) {
          out.set(colours[value], 4 * i);
          out[4 * i + 3] = Math.round(255 * state.opacity);
        }
      }
    }
    pen.putImageData(image, 0, 0);
  }

  async function frame(k) {
    if (!frames.has(k)) {
      const image = new Image();
      image.src = "data:image/jpeg;base64," + data.grey[k];
      frames.set(k, image.decode().then(() => image));
    }
    return frames.get(k);
  }

  async function draw() {
    figure.dataset.state = "drawing";
    const turn = ++asked, grey = await frame(state.slice);
    if (turn !== asked) return;
    lay();
    const ratio = devicePixelRatio || 1, [w, h] = [stage.clientWidth, stage.clientHeight];
    [canvas.width, canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(grey, 0, 0, canvas.width, canvas.height);
    pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    annotate(pen, h, w / (width * data.pixel));
    tell();
  }

  // a bar of a round length, and which slice it is
  function annotate(pen, h, scale) {
    const long = roundLength(0.25 * width * data.pixel), low = h - 16;
    pen.font = "600 13px system-ui, sans-serif";
    pen.lineJoin = "round";
    pen.lineWidth = 3;
    pen.strokeStyle = "rgba(0, 0, 0, 0.8)";
    pen.fillStyle = "#fff";
    const write = (text, x, y) => { pen.strokeText(text, x, y); pen.fillText(text, x, y); };
    pen.strokeRect(14, low, long * scale, 4);
    pen.fillRect(14, low, long * scale, 4);
    write(long >= 10 ? `${+(long / 10).toPrecision(3)} nm` : `${long} Å`, 14, low - 8);
    write(`z = ${at[state.slice]}`, 14, 24);
  }

  function tell() {
    slider.value = state.slice;
    place.textContent = `z = ${at[state.slice]} of 0 … ${data.depth - 1}, slice ${state.slice + 1} of ${at.length} shown`;
    radios.forEach((radio, i) => { radio.checked = overlays[i] === state.overlay; });
    if (figure.dataset.overlay !== state.overlay) explain();
    Object.assign(figure.dataset, {state: "drawn", slice: at[state.slice], overlay: state.overlay});
  }

  // the colours; a class switched off counts as background
  function explain() {
    const different = state.overlay === "difference", entries = [];
    legend.replaceChildren();
    data.classes.forEach((text, i) => {
      if (!i || state.overlay === "none") return;
      const entry = element("label", legend), shown = element("input", entry, {type: "checkbox"});
      if (!different) element("i", entry).style.background = data.colours[i];
      shown.checked = !state.hidden.has(i);
      shown.onchange = () => { state.hidden[shown.checked ? "delete" : "add"](i); draw(); };
      entry.append(text);
    });
    if (different) entries.push(...data.difference.map(d => [d.name, d.colour]));
    if (data.ignored && state.overlay !== "none") entries.push(["ignored", "repeating-linear-gradient(135deg, #333 0 2px, #aaa 2px 4px)"]);
    const more = element("div", legend, {class: "legend"});
    for (const [text, background] of entries) {
      const entry = element("span", more);
      element("i", entry).style.background = background;
      entry.append(text);
    }
  }

  slider.oninput = () => set({slice: +slider.value});
  opacity.oninput = () => set({opacity: +opacity.value});
  stage.onkeydown = event => {
    const {slice} = state, last = at.length - 1;
    const goes = {ArrowLeft: slice - 1, ArrowDown: slice - 1, ArrowRight: slice + 1, ArrowUp: slice + 1,
      PageDown: slice - 10, PageUp: slice + 10, Home: 0, End: last};
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in goes) set({slice: goes[event.key]});
    else if (overlays[event.key - 1]) set({overlay: overlays[event.key - 1]});
    else return;
    event.preventDefault();
  };
  // only with the focus: a picture passing under the pointer must not catch the wheel
  stage.addEventListener("wheel", event => {
    if (document.activeElement !== stage) return;
    event.preventDefault();
    set({slice: state.slice + Math.sign(event.deltaY)});
  }, {passive: false});
  await draw();
  new ResizeObserver(draw).observe(stage);
}

for (const figure of document.querySelectorAll("figure.slices")) show(figure);
})();
