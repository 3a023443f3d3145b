// Keeps the times on a page current, in local time or UTC.
import { remember } from "./preferences.js";
import { absolute, elapsed, relative, timeOfDay } from "./times.js";

const html = document.documentElement;
const TIMES_MS = 5000;
const ELAPSED_MS = 1000;

function refreshElapsed() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = elapsed(new Date(element.dataset.since), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

function textOf(dataset, date, now) {
  if ("timeOfDay" in dataset) return timeOfDay(date);
  return "absolute" in dataset ? absolute(date) : relative(date, now);
}

function refreshTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const title = absolute(date);
    const text = textOf(element.dataset, date, now);
    if (element.title !== title) element.title = title;
    if (element.textContent !== text) element.textContent = text;
  }
}

// A page has many slots, so each carries its time once, in UTC, in its title.
function showSlots() {
  for (const slot of document.querySelectorAll(".slots li")) {
    slot.dataset.utc ??= slot.title;
    const [state, utc] = slot.dataset.utc.split(" · ");
    const time = absolute(new Date(`${utc.slice(0, 10)}T${utc.slice(11, 19)}Z`));
    slot.title = `${state} · ${time}`;
    slot.querySelector(".hidden").textContent = `${state}, ${time}`;
  }
}

function showZone() {
  const text = html.dataset.zone === "utc" ? "Show times in local time" : "Show times in UTC";
  for (const button of document.querySelectorAll("[data-zone-toggle]")) button.textContent = text;
}

function toggleZone() {
  if (html.dataset.zone === "utc") delete html.dataset.zone;
  else html.dataset.zone = "utc";
  remember("zone", html.dataset.zone ?? "");
  showZone();
  refreshTimes();
  showSlots();
  // Charts draw their axis again.
  document.dispatchEvent(new Event("theme:changed"));
}

function refresh() {
  refreshTimes();
  showSlots();
  refreshElapsed();
}

for (const button of document.querySelectorAll("[data-zone-toggle]")) {
  button.addEventListener("click", toggleZone);
}
showZone();
refresh();
setInterval(refreshTimes, TIMES_MS);
setInterval(refreshElapsed, ELAPSED_MS);
document.addEventListener("live:updated", refresh);

// For days in searches: the server reads it.
remember("own_zone", Intl.DateTimeFormat().resolvedOptions().timeZone);
