// Menus are <details>: they close on a click elsewhere and on Escape. And buttons that open dialogs.
const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target) || event.target.closest("a[download]")) menu.open = false;
  }
  // A click on a dialog itself, not on what is in it, hits the backdrop.
  if (event.target instanceof HTMLDialogElement) event.target.close();
  const opener = event.target.closest("button[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog).showModal();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
