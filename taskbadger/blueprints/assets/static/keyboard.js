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

const KEYS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  x: () => document.activeElement.closest("[data-row]")?.querySelector("[data-select]")?.click(),
  g: () => { prefix = Date.now(); },
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (!toggle.checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]")) return;
  const place = Date.now() - prefix < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  prefix = 0;
  const action = place ? () => place.click() : KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
