// Times and durations in words. The words and units come from the server (formats.py, TIME_WORDS);
// a browser test compares the results with the server's.
const html = document.documentElement;
const words = JSON.parse(html.dataset.timeWords);
const MINUTE = 60;

const pad = (number) => String(number).padStart(2, "0");
const zoneName = new Intl.DateTimeFormat("en", { timeZoneName: "short" });

// Both in milliseconds: "4 min ago", "in 2 h", "just now".
export function relative(then, now) {
  const seconds = (now - then) / 1000;
  const size = Math.abs(seconds);
  if (size < 1) return words.now;
  const [unit, name] = words.units.find(([least]) => size >= least);
  const text = `${Math.floor(size / unit)} ${name}`;
  return (seconds > 0 ? words.past : words.future).replace("{}", text);
}

// To the second, in the zone that the visitor chose.
export function absolute(date) {
  if (html.dataset.zone === "utc") {
    return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
  const day = [date.getFullYear(), pad(date.getMonth() + 1), pad(date.getDate())].join("-");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
  const zone = zoneName.formatToParts(date).find((part) => part.type === "timeZoneName").value;
  return `${day} ${time} ${zone}`;
}

// With seconds only where there are any.
export function timeOfDay(date) {
  const isUtc = html.dataset.zone === "utc";
  const parts = isUtc
    ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getHours(), date.getMinutes(), date.getSeconds()];
  return (parts[2] ? parts : parts.slice(0, 2)).map(pad).join(":");
}

// A running time in its two largest units: "42 s", "1 h 5 min".
export function elapsed(since, now) {
  const seconds = Math.max(Math.floor((now - since) / 1000), 0);
  const at = words.units.findIndex(([size]) => seconds >= size);
  const [size, name] = words.units[at] ?? words.units.at(-1);
  const text = `${Math.floor(seconds / size)} ${name}`;
  if (seconds < MINUTE) return text;
  const [smallSize, smallName] = words.units[at + 1];
  const rest = Math.floor((seconds % size) / smallSize);
  return rest ? `${text} ${rest} ${smallName}` : text;
}

// A run time in one unit, to a tenth; null: a dash.
export function runTime(seconds) {
  if (seconds == null) return words.none;
  if (!seconds) return `0 ${words.units.at(-1)[1]}`;
  const [size, name] = runTimeUnit(seconds);
  return `${Math.round((seconds / size) * 10) / 10} ${name}`;
}

// Run times are counted in steps of a tenth, so more than two digits would be false precision.
export function about(seconds) {
  if (!seconds) return runTime(seconds);
  const [size, name] = runTimeUnit(seconds);
  return `≈ ${(seconds / size).toLocaleString("en", { maximumSignificantDigits: 2 })} ${name}`;
}

function runTimeUnit(seconds) {
  const [, size, name] = words.runTimes.find(([limit]) => limit === null || seconds < limit);
  return [size, name];
}
