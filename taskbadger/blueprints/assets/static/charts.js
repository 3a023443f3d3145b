// Draws every <figure data-chart> from the JSON inside it, with uPlot.
import { about, runTime } from "./times.js";

const HEIGHT = 190;
const drawn = new WeakMap();

function loadLibrary(url) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), {
      src: url,
      onload: resolve,
      onerror: reject,
    });
    document.head.append(script);
  });
}

// Browsers resolve light-dark(…) in real properties only, not in custom ones.
function colour(name) {
  const probe = document.createElement("span");
  document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

const word = (value, unit) => (unit === "s" ? runTime(value) : number(value));
const wordAbout = (value, unit) => (unit === "s" ? about(value) : number(value));

function number(value) {
  return value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: 1 });
}

// 24 hours and ISO dates, whatever the browser's language:
// [smallest step, format, then the formats where the year, month, day, … changes].
const DAY = 86400;
const TIMES = [
  [DAY * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [DAY * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [
    1,
    ":{ss}",
    "\n{MM}-{DD} {HH}:{mm}",
    null,
    "\n{MM}-{DD} {HH}:{mm}",
    null,
    "\n{HH}:{mm}",
    null,
    1,
  ],
  [
    0.001,
    ":{ss}.{fff}",
    "\n{MM}-{DD} {HH}:{mm}",
    null,
    "\n{MM}-{DD} {HH}:{mm}",
    null,
    "\n{HH}:{mm}",
    null,
    1,
  ],
];

// Possible distances of ticks: round times for times, whole numbers for counts.
const decades = (from, to) =>
  Array.from({ length: to - from }, (_, at) =>
    [1, 2, 5].map((one) => Number(`${one}e${from + at}`)),
  ).flat();
const CLOCK = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];
const PARTS = decades(-3, 0);
const TIME_STEPS = [...CLOCK, ...[1, 2, 5, 10, 30, 90, 365, 730, 3650].map((days) => days * DAY)];
const SPAN_STEPS = [...decades(-4, 0), ...CLOCK, ...decades(0, 7).map((days) => days * DAY)];
const COUNT_STEPS = decades(0, 19);

// Half a step more on either side, so that the outer bars are not cut off.
function barRange(x) {
  const step = x.length > 1 ? x[1] - x[0] : 1;
  return [x[0] - step / 2, x[x.length - 1] + step / 2];
}

// Bars stand on each other: each series is drawn as the sum of those below it, the tallest first.
function stack(series) {
  const sums = [];
  let below = series[0].values.map(() => 0);
  for (const one of series) {
    below = below.map((sum, index) => sum + (one.values[index] ?? 0));
    sums.push(below);
  }
  return sums;
}

// Values without neighbours, which no line would show.
function isolated(values) {
  return [...values.keys()].filter(
    (at) => values[at] != null && values[at - 1] == null && values[at + 1] == null,
  );
}

function lineOptions(one, data) {
  const stroke = colour(`${one.tone}-fill`);
  const alone = isolated(one.values);
  return {
    label: one.label,
    stroke,
    width: 1.75,
    dash: one.dash ? [6, 4] : undefined,
    points: { show: false, filter: () => alone, fill: stroke, size: 6 },
    value: (_, value) => wordAbout(value, data.unit),
  };
}

function barOptions(one, data, uPlot) {
  const fill = colour(`${one.tone}-fill`);
  return {
    label: one.label,
    fill,
    stroke: fill,
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars({ size: [0.75, 40], align: 0 }),
    value: (_, __, ___, index) => word(index == null ? null : one.values[index], data.unit),
  };
}

// The unit below the number: each bar has little room.
const label = (text) => text?.replace(/ (?=\S+$)/, "\n") ?? "";

function options(data, x, width, uPlot) {
  const axis = {
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: `${data.labels ? 11 : 12}px system-ui, sans-serif`,
  };
  const bars = data.kind === "bars";
  const make = bars ? barOptions : lineOptions;
  const series = data.series.map((one) => make(one, data, uPlot));
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) =>
      document.documentElement.dataset.zone === "utc"
        ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC")
        : new Date(seconds * 1000),
    cursor: { drag: { x: false, y: false }, points: { show: !bars } },
    legend: {
      live: true,
      markers: { dash: (_, index) => (!bars && data.series[index - 1]?.dash ? "dashed" : "solid") },
    },
    scales: {
      x: { time: !data.labels, ...(bars ? { range: () => barRange(x) } : {}) },
      y: { range: (_, __, high) => [0, (high || 1) * 1.05] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        ...(data.labels
          ? { values: (_, at) => at.map((index) => label(data.x[index])), incrs: [1], space: 1 }
          : { values: TIMES, incrs: (_, __, low, high) => (high - low < 2 ? PARTS : TIME_STEPS) }),
      },
      {
        ...axis,
        size: data.labels ? 40 : 56,
        incrs: data.unit === "s" ? SPAN_STEPS : COUNT_STEPS,
        values: (_, at) => at.map((value) => word(value, data.unit)),
      },
    ],
    series: [
      {
        label: data.labels ? "Range" : "Time",
        value: data.labels ? (_, index) => data.x[index] ?? "–" : "{YYYY}-{MM}-{DD} {HH}:{mm}",
      },
      ...(bars ? series.reverse() : series),
    ],
  };
}

function draw(figure, uPlot) {
  const text = figure.querySelector("script[type='application/json']").textContent;
  const plot = figure.querySelector(".plot");
  const before = drawn.get(plot);
  if (before?.text === text) return;
  before?.chart.destroy();
  const data = JSON.parse(text);
  const x = data.labels ? data.x.map((_, index) => index) : data.x;
  const rows =
    data.kind === "bars" ? stack(data.series).reverse() : data.series.map((one) => one.values);
  const chart = new uPlot(options(data, x, plot.clientWidth, uPlot), [x, ...rows], plot);
  drawn.set(plot, { chart, text });
  resizing.observe(plot);
}

const resizing = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries)
    drawn.get(target)?.chart.setSize({ width: contentRect.width, height: HEIGHT });
});

function drawAll() {
  for (const figure of document.querySelectorAll("[data-chart]")) draw(figure, window.uPlot);
}

function redraw() {
  for (const plot of document.querySelectorAll(".plot")) {
    drawn.get(plot)?.chart.destroy();
    drawn.delete(plot);
  }
  drawAll();
}

await loadLibrary(document.querySelector("[data-chart]").dataset.uplot);
drawAll();
document.addEventListener("live:updated", drawAll);
document.addEventListener("theme:changed", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
