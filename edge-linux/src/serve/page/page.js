const byId = (id) => document.getElementById(id);
const MINUTE = 60_000;
const query = location.search;
// Addresses are relative to the page's, so that a proxy may serve it at any path. A path without a slash at its end, as
// /cam, is where a browser takes them to be beside the page rather than below it.
const below = location.pathname.endsWith("/") ? "" : `${location.pathname.split("/").pop()}/`;
const at = (path, more) => below + path + query + (more ? (query ? "&" : "?") + more : "");

const fixed = (value, digits) => value == null ? "–" : value.toFixed(digits);
const percent = (value, digits = 0) => `${fixed(100 * value, digits)} %`;
// The first of a label's synonyms; the whole label is in the title.
const first = (label) => label.split(",")[0];

// A number that the server refuses is refused in its words.
async function ask(path, options) {
  const answer = await fetch(at(path), options);
  const text = await answer.text();
  let value;
  try { value = JSON.parse(text); } catch { value = { error: text.trim() }; }
  if (!answer.ok) throw new Error(value.error || `the server answers with ${answer.status}`);
  return value;
}

// All text from labels and servers goes this way: as text, so that no label can bring markup with it.
function put(element, text, title) {
  if (element.textContent !== text) element.textContent = text;
  if (title != null && element.title !== title) element.title = title;
}

// Makes a list's elements as many as there are items, and has each of them filled. Elements are used again.
function fill(list, items, make, set) {
  while (list.children.length > items.length) list.lastChild.remove();
  while (list.children.length < items.length) list.append(make());
  items.forEach((item, index) => set(list.children[index], item));
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const rows = (body, items) => fill(body, items,
  () => { const th = element("th"); th.scope = "row"; return element("tr", "", th, ...items[0].slice(1).map(() => element("td"))); },
  (row, cells) => cells.forEach((text, index) => put(row.children[index], String(text))));

const bars = (list, classes) => fill(list, classes,
  () => element("li", "class", element("span"), element("span"), element("div", "track", element("div", "fill"))),
  (bar, { label, probability }) => {
    put(bar.children[0], first(label), label);
    put(bar.children[1], percent(probability, 1));
    bar.children[2].firstChild.style.width = `${100 * probability}%`;
  });

// ---- Light and dark

const theme = byId("theme");
const night = matchMedia("(prefers-color-scheme: dark)");
// The switch's choice, or the system's.
function setTheme() {
  document.documentElement.classList.toggle("dark", theme.value ? theme.value === "dark" : night.matches);
  paint();
}
theme.onchange = () => {
  // A browser that keeps nothing forgets it with the page.
  try { localStorage.setItem("theme", theme.value); } catch { }
  setTheme();
};
night.addEventListener("change", setTheme);

// ---- Charts

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const chart = (options) => new SmoothieChart({
  responsive: true, limitFPS: calm ? 1 : 15, interpolation: "linear", minValue: 0, tooltip: false,
  grid: { fillStyle: "transparent", millisPerLine: 10_000, borderVisible: false, verticalSections: 4 },
  labels: { fontSize: 11, precision: 0 }, ...options,
});
const confidence = chart({ maxValue: 1, yMaxFormatter: (value) => percent(value), yMinFormatter: (value) => percent(value) });
const times = chart({ maxValueScale: 1.1, scaleSmoothing: 1, yMaxFormatter: (value) => `${fixed(value, 1)} ms`, yMinFormatter: () => "" });
times.options.grid.verticalSections = 1;
const charts = [[confidence, byId("confidence")], [times, byId("times-chart")]];
const series = () => new TimeSeries({ resetBounds: false });
// A place for each class of the chart; it has a colour of its own.
const places = [0, 1, 2, 3, 4].map((index) => ({ index, class: null, label: "", probability: 0, series: series() }));
const latency = new TimeSeries();
for (const place of places) confidence.addTimeSeries(place.series, { lineWidth: 2 });
times.addTimeSeries(latency, { lineWidth: 1.5 });
for (const [drawn, canvas] of charts) drawn.streamTo(canvas, 250);

// Gives the charts the colours that the style has now.
let colour;
function paint() {
  const style = getComputedStyle(document.documentElement);
  colour = (name) => style.getPropertyValue(`--${name}`).trim();
  for (const place of places) confidence.getTimeSeriesOptions(place.series).strokeStyle = colour(`c${place.index}`);
  times.getTimeSeriesOptions(latency).strokeStyle = colour("c0");
  for (const [{ options }] of charts) {
    options.grid.strokeStyle = colour("line");
    options.labels.fillStyle = colour("text");
  }
}

// Classes that lead keep their places; those that come take the places of those that no longer do.
function lead(leaders, now) {
  for (const leader of leaders) {
    let place = places.find((place) => place.class === leader.class);
    if (!place) {
      place = places.find((place) => !leaders.some((other) => other.class === place.class));
      if (!place) continue;
      Object.assign(place, { class: leader.class, label: leader.label });
      place.series.clear();
    }
    place.probability = leader.probability;
    append(place.series, now, leader.probability);
  }
  fill(byId("legend"), places.filter((place) => place.class != null),
    () => element("li", "", element("i"), element("span"), " ", element("span")),
    (entry, place) => {
      entry.children[0].className = `s${place.index}`;
      put(entry.children[1], first(place.label), place.label);
      put(entry.children[2], percent(place.probability));
    });
}

// The library drops old points when it draws, which a page in the background does not.
function append(points, now, value) {
  points.append(now, value);
  points.dropOldData(now - MINUTE - 1000, 2);
}

// ---- The ribbon of labels

// Each with the time from which on it held, oldest first. None is shorter than 0.2 s, so there are 300 in a minute at most.
let spells = [];
function spell(label, from) {
  const last = spells.at(-1);
  if (last?.label === label) return;
  if (last && from - last.from < 200) {
    last.label = label;
    if (spells.at(-2)?.label === label) spells.pop();
  } else {
    spells.push({ label, from });
  }
}
function ribbon(now) {
  while (spells[1]?.from < now - MINUTE) spells.shift();
  const start = Math.max(now - MINUTE, spells[0]?.from ?? now);
  const shown = spells.map(({ label, from }, index) => ({
    label, share: ((spells[index + 1]?.from ?? now) - Math.max(from, start)) / MINUTE,
    place: places.find((place) => place.class != null && place.label === label),
  }));
  const empty = { label: "", share: 1 - (now - start) / MINUTE };
  fill(byId("ribbon"), [empty, ...shown], () => element("span"), (part, { label, share, place }) => {
    put(part, share > 0.06 ? first(label) : "", label);
    part.className = place ? `s${place.index}` : "none";
    part.style.width = `${100 * Math.max(share, 0)}%`;
  });
}

let historyDue = true;
let historyTime = -Infinity;
// What the page has not seen of the last minute, and the newest changes.
async function history(skew) {
  historyDue = false;
  historyTime = performance.now();
  let changes;
  try { changes = await ask("history"); } catch { return; }
  const shown = changes.map(({ time, label }) => ({ label: label ?? "unknown", from: 1000 * time + skew }));
  if (shown.length && !(spells[0]?.from <= shown[0].from)) {
    const own = spells.filter(({ from }) => from > shown.at(-1).from);
    spells = [];
    for (const { label, from } of [...shown, ...own]) spell(label, from);
  }
  const newest = shown.slice(-8).reverse();
  if (newest.length) rows(byId("history"), newest.map(({ label, from }) => [first(label), new Date(from).toLocaleTimeString()]));
}

// ---- What the camera tells

let spoken;
let spokenTime = -Infinity;
let shownTime = -Infinity;
let shownLabel;
// The newest event is read when the browser draws: those that come faster are passed over, and kept nowhere.
let newest;
let isAsked = false;
function take({ data }) {
  newest = data;
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    show(JSON.parse(newest));
  });
}

function show(update) {
  const now = Date.now();
  const label = update.label ?? "unknown";
  const name = update.present?.length ? update.present.map(first).join(", ") : first(label);
  put(byId("label"), name, update.present?.join("; ") ?? label);
  put(byId("state"), "");
  put(byId("overlay"), update.label ? `${name} ${percent(update.probability)}` : name);
  bars(byId("top"), update.top);
  spell(label, now);
  if (label !== shownLabel) historyDue = true;
  shownLabel = label;
  if (performance.now() - shownTime > 250) {
    shownTime = performance.now();
    details(update, now, name);
  }
}

// What nobody can read faster than four times a second.
function details(update, now, name) {
  lead(update.leaders, now);
  append(latency, now, update.latency_ms);
  ribbon(now);
  for (const [drawn, canvas] of charts) drawn.options.millisPerPixel = MINUTE / (canvas.clientWidth || 1);
  const { p50_ms: p50, p95_ms: p95 } = update.latency;
  times.options.horizontalLines = [{ value: p50, color: colour("good"), lineWidth: 1 }, { value: p95, color: colour("warn"), lineWidth: 1 }];
  const { decode_ms: decode, resize_ms: resize, network_ms: network } = update.stages;
  rows(byId("times"), [
    ["decode", decode], ["resize", resize], ["network", network], ["frame to label", update.latency_ms],
    ["p50 of a minute", p50], ["p95 of a minute", p95],
  ].map(([what, time]) => [what, fixed(time, 2)]));
  const { rates, counts } = update;
  rows(byId("frames"), [
    ...["captured", "classified", "skipped", "dropped", "broken"].map((what) => [what, fixed(rates[what], 1), counts[what] ?? update.classified]),
    ["reconnects", "", counts.reconnects],
  ]);
  board(update.board);
  if (update.picture) size = update.picture;
  byId("picture").style.aspectRatio = `${size.width} / ${size.height}`;
  if (update.settings > known) loadSettings();
  if (historyDue && performance.now() - historyTime > 2000) history(now - 1000 * update.time);
  // Screen readers hear of a change, but not of each: at most one in five seconds.
  if (name !== spoken && performance.now() - spokenTime > 5000) {
    spoken = name;
    spokenTime = performance.now();
    put(byId("said"), update.label ? `${name}, ${percent(update.probability)}` : name);
  }
}

function board({ temperature, throttled }) {
  const gauge = byId("gauge");
  gauge.hidden = temperature == null;
  const state = temperature >= 80 ? "hot" : temperature >= 70 ? "warm" : "";
  if (temperature != null) {
    const text = `${fixed(temperature, 1)} °C${state && `, ${state}`}`;
    gauge.className = state;
    gauge.setAttribute("aria-valuenow", Math.min(Math.max(temperature, 0), 100));
    gauge.setAttribute("aria-valuetext", text);
    byId("arc").style.strokeDasharray = `${Math.min(Math.max(temperature, 0), 100)} 200`;
    put(byId("temperature"), text);
  }
  const slowed = { true: "The board slows itself down.", false: "It runs at full speed." }[throttled] ?? "";
  put(byId("throttled"), temperature == null ? `No temperature sensor. ${slowed}` : slowed);
}

// ---- The picture, and the part of it that is looked at

let size = { width: 4, height: 3 };
const frame = byId("frame");
const roi = byId("roi");
function look() {
  byId("overlay").hidden = byId("drawn").checked;
  byId("picture").src = at("stream.mjpg", byId("drawn").checked ? "drawn=true" : "");
}
byId("drawn").onchange = look;

function outline(part) {
  roi.hidden = !part;
  if (!part) return;
  const { style } = roi;
  style.left = `${100 * part.x / size.width}%`;
  style.top = `${100 * part.y / size.height}%`;
  style.width = `${100 * part.width / size.width}%`;
  style.height = `${100 * part.height / size.height}%`;
}

let corner;
function drawing(on) {
  corner = null;
  byId("draw").setAttribute("aria-pressed", on);
  frame.classList.toggle("drawing", on);
}
const isDrawing = () => frame.classList.contains("drawing");
function point(event) {
  const box = byId("picture").getBoundingClientRect();
  const along = (value, whole) => Math.round(Math.min(Math.max(value, 0), 1) * whole);
  return { x: along((event.clientX - box.left) / box.width, size.width), y: along((event.clientY - box.top) / box.height, size.height) };
}
function drawn(event) {
  const end = point(event);
  const [x, y] = [Math.min(corner.x, end.x), Math.min(corner.y, end.y)];
  return { x, y, width: Math.abs(corner.x - end.x), height: Math.abs(corner.y - end.y) };
}
frame.onpointerdown = (event) => {
  if (!isDrawing()) return;
  event.preventDefault();
  frame.setPointerCapture(event.pointerId);
  corner = point(event);
};
frame.onpointermove = (event) => { if (corner) outline(drawn(event)); };
frame.onpointerup = (event) => {
  if (!corner) return;
  const part = drawn(event);
  drawing(false);
  if (part.width < 8 || part.height < 8) {
    outline(settings?.roi);
    put(byId("answer"), "Draw a larger part, from corner to corner.");
    return;
  }
  change({ roi: part });
};
frame.onpointercancel = () => { drawing(false); outline(settings?.roi); };
byId("draw").onclick = () => { drawing(!isDrawing()); if (isDrawing()) frame.scrollIntoView({ block: "nearest" }); };
byId("whole").onclick = () => change({ roi: null });

// ---- Settings

const sides = ["x", "y", "width", "height"];
const fields = ["threshold", "hysteresis", "average", ...sides];
let settings;
// How often they had changed when they were read: what this page changes is not read again.
let known = -1;
let isEdited = false;
async function loadSettings() {
  known = Infinity;
  try { setSettings(await ask("api/settings")); } catch { known = -1; }
}
function setSettings(values) {
  settings = values;
  known = values.changes;
  if (values.picture) size = values.picture;
  if (!corner) outline(values.roi);
  byId("threshold").placeholder = values.usual_threshold ?? "";
  byId("save").disabled = !values.can_save;
  byId("save").title = values.can_save ? "" : "The camera was started without a file of options (--config).";
  if (isEdited) return;
  for (const name of fields) byId(name).value = (sides.includes(name) ? values.roi?.[name] : values[name]) ?? "";
}
// What stands in a field; what is no number is sent as it is, and refused.
const number = (name) => byId(name).validity.badInput ? "?" : byId(name).value === "" ? null : Number(byId(name).value);
async function change(wanted) {
  // A text that is the same again would not be read out.
  put(byId("answer"), "");
  try {
    const values = await ask("api/settings", { method: "POST", body: JSON.stringify(wanted) });
    isEdited = false;
    setSettings(values);
    put(byId("answer"), "Applied.");
  } catch (error) {
    put(byId("answer"), error.message);
  }
}
byId("form").oninput = () => { isEdited = true; };
byId("form").onsubmit = (event) => {
  event.preventDefault();
  const part = Object.fromEntries(sides.map((name) => [name, number(name)]));
  const isWhole = sides.every((name) => part[name] === null);
  change({ threshold: number("threshold"), hysteresis: number("hysteresis"), average: number("average"), roi: isWhole ? null : part });
};
byId("save").onclick = async () => {
  put(byId("answer"), "");
  try {
    put(byId("answer"), `Saved to ${(await ask("api/settings/save", { method: "POST" })).saved}.`);
  } catch (error) {
    put(byId("answer"), error.message);
  }
};
function open(on) {
  byId("settings").hidden = !on;
  byId("menu").setAttribute("aria-expanded", on);
  drawing(false);
  outline(settings?.roi);
  if (on) byId("threshold").focus(); else byId("menu").focus();
}
byId("menu").onclick = () => open(byId("settings").hidden);
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || byId("settings").hidden) return;
  if (isDrawing()) { drawing(false); outline(settings?.roi); } else open(false);
});

// ---- A photo of one's own

const preview = byId("preview");
async function classify(file) {
  if (!file) return;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  put(byId("verdict"), "Looking at it …");
  let classes = [];
  try {
    if (file.size > 8 << 20) throw new Error("More than 8 MiB are too much; choose a smaller picture.");
    classes = await ask("api/classify", { method: "POST", body: file });
    put(byId("verdict"), classes.length ? `${first(classes[0].label)}, ${percent(classes[0].probability)}` : "No class.");
  } catch (error) {
    put(byId("verdict"), error.message);
  }
  bars(byId("photo-top"), classes);
}
preview.onerror = () => { preview.hidden = true; };
byId("file").onchange = ({ target }) => classify(target.files[0]);
addEventListener("paste", ({ clipboardData }) => classify(clipboardData?.files[0]));
// A drop beside the zone would have the browser leave the page.
addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
addEventListener("dragleave", () => byId("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  classify(event.dataTransfer.files[0]);
});
// Browsers have it on this machine and behind TLS.
byId("paste").hidden = !navigator.clipboard?.read;
byId("paste").onclick = async () => {
  try {
    const items = await navigator.clipboard.read();
    const kinds = items.flatMap((item) => item.types.filter((type) => type.startsWith("image/")).map((type) => [item, type]));
    if (!kinds.length) throw new Error("There is no picture in the clipboard.");
    classify(await kinds[0][0].getType(kinds[0][1]));
  } catch (error) {
    put(byId("verdict"), error.message);
  }
};

// ---- The connection

function connect() {
  const events = new EventSource(at("events"));
  events.onopen = () => {
    look();
    // Again with the first frame: it tells the picture's size, and the usual threshold.
    loadSettings().then(() => { known = -1; });
  };
  events.onmessage = take;
  events.onerror = () => {
    put(byId("state"), "no connection; trying again");
    // A browser tries again by itself, but not where the server has refused it, as for want of room.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  };
}
try { theme.value = localStorage.getItem("theme") ?? ""; } catch { }
setTheme();
connect();
