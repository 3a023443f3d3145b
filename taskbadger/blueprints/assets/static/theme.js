// The button that switches between the system's theme, light and dark.
import { remember } from "./preferences.js";

const html = document.documentElement;
const THEMES = ["system", "light", "dark"];
const current = () => html.dataset.theme ?? "system";

function showTheme(button) {
  const theme = current();
  button.setAttribute("aria-label", `Theme: ${theme}`);
  button.title = `Theme: ${theme}`;
  button.querySelector("use").setAttribute("href", `#i-theme-${theme}`);
}

function nextTheme(button) {
  const theme = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
  if (theme === "system") delete html.dataset.theme;
  else html.dataset.theme = theme;
  remember("theme", theme === "system" ? "" : theme);
  showTheme(button);
  document.dispatchEvent(new Event("theme:changed"));
}

for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  showTheme(button);
  button.addEventListener("click", () => nextTheme(button));
}
