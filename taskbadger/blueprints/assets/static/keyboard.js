// Single-key shortcuts. They can be switched off in the help (WCAG 2.1.4).
const STORE = "shortcuts";
const help = document.getElementById("help");
const toggle = help.querySelector("[data-shortcuts-switch]");
let prefix = 0;

toggle.checked = localStorage.getItem(STORE) !== "off";
toggle.addEventListener("change", () => localStorage.setItem(STORE, toggle.checked ? "on" : "off"));

const links = () => [...document.querySelectorAll("[data-row] a[data-row-link]")];

function move(step) {
  const all = links();
  const row = document.activeElement.closest("[data-row]");
  const at = all.findIndex((link) => link.closest("[data-row]") === row);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

// On a page without a search field, goes to that of the tasks.
function search() {
  const field = document.querySelector("[data-search]");
  const tasks = document.querySelector('[data-go="t"]');
  if (field) field.focus();
  else if (tasks) location.assign(`${tasks.href}#search`);
}

if (location.hash === "#search") {
  document.querySelector("[data-search]")?.focus();
  history.replaceState(null, "", location.pathname + location.search);
}

const KEYS = {
  "/": search,
  j: () => move(1),
  k: () => move(-1),
  x: () => document.activeElement.closest("[data-row]")?.querySelector("[data-select]")?.click(),
  g: () => {
    prefix = Date.now();
  },
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.matches("[data-search]")) {
    // By default the browser would empty the field.
    event.preventDefault();
    event.target.blur();
    return;
  }
  if (!toggle.checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (
    event.target.closest(
      "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]",
    )
  )
    return;
  const place =
    Date.now() - prefix < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  prefix = 0;
  const action = place ? () => place.click() : KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
