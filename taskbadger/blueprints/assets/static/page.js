// What every page can do: theme, time zone, times, menus, copying, dialogs, bulk selection, toasts.
const html = document.documentElement;
html.dataset.js = "";

function keep(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  const age = value ? 31536000 : 0;
  document.cookie = `${name}=${value}; path=${html.dataset.root}; max-age=${age}; samesite=lax${secure}`;
}

function toast(message) {
  const element = Object.assign(document.createElement("p"), { className: "toast", textContent: message });
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 5000);
}
document.addEventListener("toast", (event) => toast(event.detail));

// Theme: system, light, dark. The server reads the cookie, so that the next page does not flash.
const THEMES = ["system", "light", "dark"];

function showTheme(button) {
  const theme = html.dataset.theme ?? "system";
  button.setAttribute("aria-label", `Theme: ${theme}`);
  button.title = `Theme: ${theme}`;
  button.querySelector("use").setAttribute("href", `#i-theme-${theme}`);
}

function nextTheme(button) {
  const theme = THEMES[(THEMES.indexOf(html.dataset.theme ?? "system") + 1) % THEMES.length];
  if (theme === "system") delete html.dataset.theme;
  else html.dataset.theme = theme;
  keep("theme", theme === "system" ? "" : theme);
  showTheme(button);
  document.dispatchEvent(new Event("theme:changed"));
}

// Times. The words are those of formats.py.
const pad = (number) => String(number).padStart(2, "0");

function relative(then, now) {
  const seconds = (now - then) / 1000;
  const size = Math.abs(seconds);
  if (size < 1) return "just now";
  const [, unit, name] = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]].find(([limit]) => size < limit);
  const text = `${Math.floor(size / unit)} ${name}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

const zoneName = new Intl.DateTimeFormat("en", { timeZoneName: "short" });

function absolute(date) {
  if (html.dataset.zone === "utc") return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const day = [date.getFullYear(), pad(date.getMonth() + 1), pad(date.getDate())].join("-");
  const zone = zoneName.formatToParts(date).find((part) => part.type === "timeZoneName").value;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())} ${zone}`;
}

function elapsed(since, now) {
  const seconds = Math.max(Math.floor((now - since) / 1000), 0);
  if (seconds < 60) return `${seconds} s`;
  const [large, small, first, second] = [[86400, 3600, "d", "h"], [3600, 60, "h", "min"], [60, 1, "min", "s"]].find(([size]) => seconds >= size);
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${first}${rest ? ` ${rest} ${second}` : ""}`;
}

function refreshElapsed() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = elapsed(new Date(element.dataset.since), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

function refreshTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const title = absolute(date);
    const text = "absolute" in element.dataset ? title : relative(date, now);
    if (element.title !== title) element.title = title;
    if (element.textContent !== text) element.textContent = text;
  }
}

// The marks of a strip say their time in UTC, in as few bytes as can be: many are sent.
function showSlots() {
  for (const slot of document.querySelectorAll(".slots li")) {
    slot.dataset.utc ??= slot.title;
    const [words, utc] = slot.dataset.utc.split(" · ");
    const when = absolute(new Date(`${utc.slice(0, 10)}T${utc.slice(11, 19)}Z`));
    slot.title = `${words} · ${when}`;
    slot.querySelector(".hidden").textContent = `${words}, ${when}`;
  }
}

function showZone() {
  const text = html.dataset.zone === "utc" ? "Show times in local time" : "Show times in UTC";
  for (const button of document.querySelectorAll("[data-zone-toggle]")) button.textContent = text;
}

function toggleZone() {
  if (html.dataset.zone === "utc") delete html.dataset.zone;
  else html.dataset.zone = "utc";
  keep("zone", html.dataset.zone ?? "");
  showZone();
  refreshTimes();
  showSlots();
  document.dispatchEvent(new Event("theme:changed"));
}

// What is fetched first goes to the clipboard as a promise: the click may be over when it is there.
async function textAt(url) {
  const answer = await fetch(url);
  if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
  return new Blob([await answer.text()], { type: "text/plain" });
}

async function copy(button) {
  const { copy: text, copyFrom: url } = button.dataset;
  try {
    if (url) await navigator.clipboard.write([new ClipboardItem({ "text/plain": textAt(url) })]);
    else await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("Could not copy.");
  }
}

// A strip of links that is wider than its place: what is current is in view, and its edges tell of more.
const STRIPS = ".sections, .tabs";

function markEdges(strip) {
  strip.toggleAttribute("data-more-before", strip.scrollLeft > 1);
  strip.toggleAttribute("data-more-after", strip.scrollLeft + strip.clientWidth < strip.scrollWidth - 1);
}

function revealCurrent(strip) {
  const current = strip.querySelector("[aria-current]")?.getBoundingClientRect();
  const place = strip.getBoundingClientRect();
  // Only sideways, unlike scrollIntoView: the page stays where it is.
  if (current) strip.scrollLeft += current.left - place.left - (place.width - current.width) / 2;
}

function markAllEdges() {
  for (const strip of document.querySelectorAll(STRIPS)) markEdges(strip);
}

for (const strip of document.querySelectorAll(STRIPS)) revealCurrent(strip);
window.addEventListener("resize", markAllEdges);
document.addEventListener("scroll", (event) => {
  if (event.target.matches?.(STRIPS)) markEdges(event.target);
}, { capture: true, passive: true });

// Bulk selection: <form data-bulk> holds rows with a checkbox in each, and a [data-bulk-bar].
// [data-matching] in it says how many match in all. Questions name what is selected.
function selectionWords(all, chosen, total) {
  if (all) return `all ${total} matching tasks`;
  return chosen === 1 ? "1 task" : `${chosen} tasks`;
}

function showSelection(form) {
  const boxes = [...form.querySelectorAll("[data-select]")];
  const chosen = boxes.filter((box) => box.checked).length;
  const everything = form.querySelector("[data-select-all]");
  const whole = chosen > 0 && chosen === boxes.length;
  if (everything && !whole) everything.value = "";
  const all = Boolean(everything?.value);
  const { matching = 0, atLeast } = (form.querySelector("[data-matching]") ?? form).dataset;
  const total = Number(matching);
  const totalText = total.toLocaleString("en") + (atLeast === undefined ? "" : "+");
  for (const box of form.querySelectorAll("[data-select-page]")) {
    box.checked = whole;
    box.indeterminate = chosen > 0 && !whole;
  }
  for (const bar of form.querySelectorAll("[data-bulk-bar]")) bar.hidden = chosen === 0;
  for (const text of form.querySelectorAll("[data-selected]")) {
    text.textContent = all ? `All ${totalText} selected` : `${chosen} selected`;
  }
  for (const button of form.querySelectorAll("[data-select-matching]")) {
    button.hidden = !whole || all || total <= chosen;
    button.textContent = `Select all ${totalText} matching`;
  }
  for (const button of form.querySelectorAll("[data-confirm-selected]")) {
    button.dataset.confirm = button.dataset.confirmSelected.replace("{}", selectionWords(all, chosen, totalText));
  }
}

function confirmFirst(form, question, submitter) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("#confirm-text").textContent = question;
  dialog.querySelector("[data-confirm-yes]").onclick = () => {
    dialog.close();
    form.dataset.confirmed = "";
    form.requestSubmit(submitter);
  };
  dialog.querySelector("[data-confirm-no]").onclick = () => dialog.close();
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, [data-newcomers]");
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest("a[download]")) menu.open = false;
  }
  if (event.target instanceof HTMLDialogElement) event.target.close();
  if (!button) return;
  if ("themeToggle" in button.dataset) nextTheme(button);
  if ("zoneToggle" in button.dataset) toggleZone();
  if ("copy" in button.dataset || button.dataset.copyFrom) copy(button);
  if (button.dataset.dialog) document.getElementById(button.dataset.dialog).showModal();
  if ("selectMatching" in button.dataset) {
    button.form.querySelector("[data-select-all]").value = "1";
    showSelection(button.form);
  }
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-submit]")) box.form.requestSubmit();
  const form = box.closest("form[data-bulk]");
  if (!form) return;
  if ("selectPage" in box.dataset) for (const one of form.querySelectorAll("[data-select]")) one.checked = box.checked;
  showSelection(form);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !("confirmed" in form.dataset)) {
    event.preventDefault();
    confirmFirst(form, question, event.submitter);
    return;
  }
  // What is shown once must not be lost to the second answer of a double click.
  if (!form.elements.namedItem("once")) return;
  if ("sent" in form.dataset) event.preventDefault();
  form.dataset.sent = "";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// An address that people share names only what is set.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

function settle() {
  refreshTimes();
  showSlots();
  refreshElapsed();
  markAllEdges();
  for (const form of document.querySelectorAll("form[data-bulk]")) showSelection(form);
  // Charts load their library only where there are any.
  const chart = document.querySelector("[data-chart]");
  if (chart) import(chart.dataset.charts);
}

for (const button of document.querySelectorAll("[data-theme-toggle]")) showTheme(button);
showZone();
settle();
setInterval(refreshTimes, 5000);
setInterval(refreshElapsed, 1000);
document.addEventListener("live:updated", settle);
