// What every page can do. Each module does one thing and starts itself.
import "./enabled.js";
import "./toasts.js";
import "./theme.js";
import "./clock.js";
import "./clipboard.js";
import "./addresses.js";
import "./strips.js";
import "./menus.js";
import "./selection.js";
import "./forms.js";
import "./typed.js";
import "./slugs.js";

// Charts load their library only where there are any.
function loadCharts() {
  const chart = document.querySelector("[data-chart]");
  if (chart) import(chart.dataset.charts);
}

loadCharts();
document.addEventListener("live:updated", loadCharts);
