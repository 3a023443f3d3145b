// Tells the styles that scripts run, before anything is measured.
document.documentElement.dataset.js = "";
