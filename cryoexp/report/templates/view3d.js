// Scenes to turn: surfaces, points and arrows of figures/*.view.json. WebGL 2, no library.
// Drag or arrow keys turn, wheel or + - zoom, shift-drag or two fingers move; it turns by itself until touched.
"use strict";
(() => {
// x, y to the right and upwards, z towards the viewer; parallel projection
const PLACE = `#version 300 es
  precision highp float;
  uniform mat3 turn; uniform vec3 middle; uniform vec2 scale, shift; uniform float radius; uniform float size;
  out vec3 normal, colour; out float far;
  vec4 place(vec3 p) {
    vec3 q = turn * (p - middle);
    far = 0.5 - 0.5 * q.z / radius;
    return vec4(q.xy * scale + shift, -q.z / (2.0 * radius), 1.0);
  }`;
const SHADE = `#version 300 es
  precision highp float;
  in vec3 normal, colour; in float far; uniform float opacity, haze, pixel, radius, size; out vec4 shown;
  void shade(vec3 n, float cover) {
    vec3 light = normalize(vec3(-0.35, 0.5, 0.79));
    float bright = 0.45 + 0.55 * max(dot(n, light), 0.0);
    float shine = 0.18 * pow(max(dot(n, normalize(light + vec3(0, 0, 1))), 0.0), 30.0);
    shown = vec4(mix(colour * bright + shine, vec3(1), haze * clamp(far, 0.0, 1.0)), opacity * cover);
  }`;
const LIT = SHADE + "void main() { vec3 n = normalize(normal); shade(n.z < 0.0 ? -n : n, 1.0); }";
const SOURCES = {
  mesh: [PLACE + `in vec3 at, up, paint;
    void main() { gl_Position = place(at); normal = turn * up; colour = paint; }`, LIT],
  points: [PLACE + `in vec3 at, paint; uniform float pixel;
    void main() { gl_Position = place(at); gl_PointSize = max(2.0 * size * pixel, 1.5); normal = vec3(0); colour = paint; }`,
    SHADE + `void main() {
      vec2 u = gl_PointCoord * vec2(2, -2) + vec2(-1, 1);
      float r = length(u), edge = fwidth(r);
      if (r > 1.0 + edge) discard;
      vec3 n = vec3(u, sqrt(max(1.0 - r * r, 0.0)));
      gl_FragDepth = gl_FragCoord.z - n.z * size / (4.0 * radius);
      shade(normalize(n), 1.0 - smoothstep(1.0 - edge, 1.0, r));
    }`],
  // corner: cos and sin about the arrow, and the ring it belongs to: end, neck, brim of the head, tip
  arrows: [PLACE + `in vec3 corner, start, end, paint; uniform float head;
    void main() {
      float span = max(distance(start, end), 1e-9), tip = head * min(6.0 * size, 0.5 * span);
      vec3 d = (end - start) / span, u = normalize(cross(abs(d.z) < 0.9 ? vec3(0, 0, 1) : vec3(1, 0, 0), d)), v = cross(d, u);
      vec3 out_ = corner.x * u + corner.y * v;
      float wide = corner.z < 1.5 ? size : head * (corner.z < 2.5 ? 2.4 * size : 0.0);
      float along = corner.z < 0.5 ? 0.0 : corner.z < 2.5 ? span - tip : span;
      gl_Position = place(start + along * d + wide * out_);
      normal = turn * (corner.z < 1.5 ? out_ : normalize(out_ + 0.4 * d)); colour = paint;
    }`, LIT],
};
const SIDES = 8;
const HINT = "drag to turn · wheel to zoom · shift-drag to move";
let scrolled = 0;  // when the wheel last moved the page: a view passing under the pointer must not catch it

function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer; }
function rgb(hex) { return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)); }
function element(name, parent, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  parent.append(node);
  return node;
}

function program(gl, [vertex, fragment]) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "no program");
  return made;
}

// outward where the faces are counter-clockwise; larger triangles count more
function normals(at, faces) {
  const out = new Float32Array(at.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const u = [0, 1, 2].map(i => at[b + i] - at[a + i]), v = [0, 1, 2].map(i => at[c + i] - at[a + i]);
    for (let i = 0; i < 3; i++) {
      const n = u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3];
      out[a + i] += n; out[b + i] += n; out[c + i] += n;
    }
  }
  return out;
}

function arrowShape() {
  const corners = [], faces = [];
  for (let k = 0; k < 4; k++) for (let i = 0; i < SIDES; i++) {
    const angle = 2 * Math.PI * i / SIDES;
    corners.push(Math.cos(angle), Math.sin(angle), k);
    if (k) {
      const [a, b] = [k * SIDES + i, k * SIDES + (i + 1) % SIDES];
      faces.push(a, b, a - SIDES, b, b - SIDES, a - SIDES);
    }
  }
  return [new Float32Array(corners), new Uint32Array(faces)];
}

// buffers of an item, and what draws it
function upload(gl, item, programs) {
  const use = programs[item.kind], array = gl.createVertexArray();
  const attribute = (name, data, kind, each) => {
    const place = gl.getAttribLocation(use, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
    gl.vertexAttribDivisor(place, each);
  };
  const elements = data => {
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, data, gl.STATIC_DRAW);
    return data.length;
  };
  gl.bindVertexArray(array);
  const first = new Float32Array(bytes(item.vertices || item.positions || item.starts)), count = first.length / 3;
  const one = rgb(item.colour), each = item.kind === "arrows" ? 1 : 0;
  const paint = item.colours ? new Uint8Array(bytes(item.colours)) : new Uint8Array(3 * count).map((_, i) => one[i % 3]);
  attribute("paint", paint, gl.UNSIGNED_BYTE, each);
  if (item.kind === "arrows") {
    const [corners, faces] = arrowShape();
    attribute("corner", corners, gl.FLOAT, 0);
    attribute("start", first, gl.FLOAT, 1);
    attribute("end", new Float32Array(bytes(item.ends)), gl.FLOAT, 1);
    const size = elements(faces);
    return {item, use, array, draw: () => gl.drawElementsInstanced(gl.TRIANGLES, size, gl.UNSIGNED_INT, 0, count)};
  }
  attribute("at", first, gl.FLOAT, 0);
  if (item.kind === "points") return {item, use, array, at: first, draw: () => gl.drawArrays(gl.POINTS, 0, count)};
  const faces = new Uint32Array(bytes(item.faces));
  attribute("up", normals(first, faces), gl.FLOAT, 0);
  const size = elements(faces);
  return {item, use, array, draw: () => gl.drawElements(gl.TRIANGLES, size, gl.UNSIGNED_INT, 0)};
}

function view(figure) {
  const scene = JSON.parse(figure.querySelector("script").textContent), still = figure.querySelector("img");
  const stage = element("div", figure, {class: "stage", tabindex: 0, role: "application", "aria-label":
    `${figure.dataset.title}, to be turned. Arrow keys turn, plus and minus zoom, 0 goes back, space starts and stops.`});
  const canvas = element("canvas", stage), above = element("canvas", stage), gl = canvas.getContext("webgl2", {antialias: true, alpha: false});
  const giveUp = () => {
    stage.remove();
    if (still) still.hidden = false;
    figure.dataset.state = "still";
    element("p", figure, {}, "WebGL 2 does not work in this browser: the view cannot be turned here" + (still ? ", this is a picture of it." : "."));
  };
  if (!gl) return giveUp();
  let parts;
  try {
    const programs = Object.fromEntries(Object.entries(SOURCES).map(([kind, source]) => [kind, program(gl, source)]));
    parts = scene.items.map(item => upload(gl, item, programs));
  } catch (error) { console.error(error); return giveUp(); }
  const start = {azimuth: scene.azimuth, elevation: scene.elevation, zoom: 1, x: 0, y: 0}, eye = {...start};
  let turning = !matchMedia("(prefers-reduced-motion: reduce)").matches, visible = false, last = 0, asked = 0;
  if (still) still.hidden = true;

  function camera() {
    const a = eye.azimuth * Math.PI / 180, e = eye.elevation * Math.PI / 180, [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
    return [[-sa, ca, 0], [-se * ca, -se * sa, ce], [ce * ca, ce * sa, se]];
  }

  function draw(now) {
    asked = 0;
    if (turning && last) eye.azimuth += Math.min(now - last, 100) * 0.012;
    last = turning ? now : 0;
    const ratio = devicePixelRatio || 1, [w, h] = [stage.clientWidth, stage.clientHeight];
    for (const c of [canvas, above]) {
      if (c.width !== Math.round(w * ratio)) c.width = Math.round(w * ratio);
      if (c.height !== Math.round(h * ratio)) c.height = Math.round(h * ratio);
    }
    const pixel = eye.zoom * 0.94 * Math.min(w, h) / (2 * scene.radius), rows = camera();  // of the screen, per unit
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(1, 1, 1, 1);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    const clear = part => (part.item.opacity ?? 1) < 1;
    for (const part of [...parts.filter(p => !clear(p)), ...parts.filter(clear)].filter(p => !p.hidden)) {
      const {item, use} = part, number = (name, ...v) => gl[`uniform${v.length}f`](gl.getUniformLocation(use, name), ...v);
      gl.useProgram(use);
      gl.uniformMatrix3fv(gl.getUniformLocation(use, "turn"), true, rows.flat());
      number("middle", ...scene.middle);
      number("scale", 2 * pixel / w, 2 * pixel / h);
      number("shift", 2 * eye.x / w, 2 * eye.y / h);
      number("radius", scene.radius);
      number("size", item.size ?? 0);
      number("head", item.head ? 1 : 0);
      number("pixel", pixel * ratio);
      number("haze", item.kind === "mesh" ? 0.15 : 0.45);
      number("opacity", item.opacity ?? 1);
      gl.bindVertexArray(part.array);
      gl[item.kind === "points" ? "enable" : "disable"](gl.SAMPLE_ALPHA_TO_COVERAGE);
      gl[clear(part) ? "enable" : "disable"](gl.BLEND);
      if (clear(part)) {  // only the nearest layer of a see-through surface: first its depth, then its colour
        gl.colorMask(false, false, false, false);
        part.draw();
        gl.colorMask(true, true, true, false);
      }
      part.draw();
      gl.colorMask(true, true, true, true);
    }
    annotate(ratio, w, h, pixel, rows);
    if (figure.dataset.state !== "drawn") figure.dataset.state = gl.getError() === gl.NO_ERROR ? "drawn" : "failed";
    if (turning && visible) ask();
  }

  // labels, the axes and a bar of a round length
  function annotate(ratio, w, h, pixel, rows) {
    const pen = above.getContext("2d"), project = p => rows.map(r => r.reduce((sum, c, i) => sum + c * p[i], 0));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    pen.fillStyle = pen.strokeStyle = "#222";
    pen.font = "12px system-ui, sans-serif";
    for (const {item, at, hidden} of parts) (!hidden && item.labels || []).forEach((label, k) => {
      const [x, y] = project([0, 1, 2].map(i => at[3 * k + i] - scene.middle[i]));
      pen.fillText(label, w / 2 + eye.x + (x + item.size) * pixel + 2, h / 2 - eye.y - (y + item.size) * pixel);
    });
    const step = 0.25 * Math.min(w, h) / pixel, power = 10 ** Math.floor(Math.log10(step));
    const long = power * [5, 2, 1].find(n => n * power <= step * (1 + 1e-9)), left = 16, low = h - 14;
    pen.fillRect(left, low - 3, long * pixel, 3);
    pen.textAlign = "center";
    pen.fillText(`${+long.toPrecision(1)} ${scene.unit}`, left + long * pixel / 2, low - 8);
    ["x", "y", "z"].forEach((name, i) => {
      const [x, y, at] = [rows[0][i], rows[1][i], [w - 44, h - 40]];
      pen.beginPath(); pen.moveTo(...at); pen.lineTo(at[0] + 24 * x, at[1] - 24 * y); pen.stroke();
      pen.fillText(name, at[0] + 32 * x, at[1] - 32 * y + 4);
    });
    pen.textAlign = "left";
  }

  function ask() { asked ||= requestAnimationFrame(draw); }
  function touched() { turning = false; button.textContent = "turn"; ask(); }
  function turn(right, up) { eye.azimuth -= right; eye.elevation = Math.max(-90, Math.min(90, eye.elevation + up)); touched(); }
  function zoom(factor) { eye.zoom = Math.max(0.3, Math.min(40, eye.zoom * factor)); touched(); }

  const fingers = new Map();
  stage.onpointerdown = event => { stage.setPointerCapture(event.pointerId); fingers.set(event.pointerId, event); touched(); };
  stage.onpointerup = stage.onpointercancel = event => fingers.delete(event.pointerId);
  stage.onpointermove = event => {
    const before = fingers.get(event.pointerId), other = [...fingers.values()].find(f => f.pointerId !== event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    fingers.set(event.pointerId, event);
    if (other) {
      const apart = f => Math.hypot(f.clientX - other.clientX, f.clientY - other.clientY) || 1;
      zoom(apart(event) / apart(before));
    }
    if (other || event.shiftKey) { const share = other ? 0.5 : 1; eye.x += share * dx; eye.y -= share * dy; touched(); }
    else turn(0.5 * dx, 0.5 * dy);
  };
  stage.addEventListener("wheel", event => {
    if (event.timeStamp - scrolled < 350) return;
    event.preventDefault();
    event.stopPropagation();
    zoom(Math.exp(-0.0015 * event.deltaY * (event.deltaMode ? 30 : 1)));
  }, {passive: false});
  stage.ondblclick = () => { Object.assign(eye, start); touched(); };
  stage.onkeydown = event => {
    const actions = {
      ArrowLeft: () => turn(-5, 0), ArrowRight: () => turn(5, 0), ArrowUp: () => turn(0, -5), ArrowDown: () => turn(0, 5),
      "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15), 0: stage.ondblclick, Home: stage.ondblclick, " ": () => button.click(),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  };

  const legend = element("div", figure, {class: "legend"});
  for (const part of parts) {
    const {item} = part, entry = element("label", legend), box = element("input", entry, {type: "checkbox"}), mark = element("i", entry);
    box.checked = true;
    box.onchange = () => { part.hidden = !box.checked; ask(); };
    mark.style.background = item.scale ? `linear-gradient(90deg, ${item.scale.colours.join(", ")})` : item.colour;
    if (item.scale) mark.className = "scale";
    const number = value => String(+value.toPrecision(3));
    entry.append(item.scale ? `${item.name}; ${item.scale.label} ${number(item.scale.low)} to ${number(item.scale.high)}` : item.name);
  }
  const hint = element("span", legend, {class: "hint"}, HINT);
  const button = element("button", hint, {type: "button", "aria-label": "start or stop turning"}, turning ? "stop" : "turn");
  button.onclick = () => { turning = !turning; last = 0; button.textContent = turning ? "stop" : "turn"; ask(); };
  element("button", hint, {type: "button"}, "reset").onclick = stage.ondblclick;

  canvas.addEventListener("webglcontextlost", event => { event.preventDefault(); legend.remove(); giveUp(); });
  draw(0);
  new ResizeObserver(ask).observe(stage);
  new IntersectionObserver(([entry]) => { visible = entry.isIntersecting; last = 0; if (visible) ask(); }).observe(stage);
}

addEventListener("wheel", event => { scrolled = event.timeStamp; }, {passive: true});
for (const figure of document.querySelectorAll("figure.view3d")) view(figure);
})();
