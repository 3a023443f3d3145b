// Bulk selection: a <form data-bulk> holds rows, each with a checkbox, and a [data-bulk-bar].
// A [data-matching] inside says how many rows match in all. Questions name what is selected.
const bulkForms = () => document.querySelectorAll("form[data-bulk]");

function describeSelection(all, chosen, total) {
  if (all) return `all ${total} matching tasks`;
  return chosen === 1 ? "1 task" : `${chosen} tasks`;
}

// How many rows match, as a number and in words: "250", "10,000+".
function countMatching(form) {
  const { matching = 0, atLeast } = (form.querySelector("[data-matching]") ?? form).dataset;
  const total = Number(matching);
  return [total, total.toLocaleString("en") + (atLeast === undefined ? "" : "+")];
}

function showSelection(form) {
  const boxes = [...form.querySelectorAll("[data-select]")];
  const chosen = boxes.filter((box) => box.checked).length;
  const wholePage = chosen > 0 && chosen === boxes.length;
  const everything = form.querySelector("[data-select-all]");
  if (everything && !wholePage) everything.value = "";
  const all = Boolean(everything?.value);
  const [total, totalText] = countMatching(form);
  for (const box of form.querySelectorAll("[data-select-page]")) {
    box.checked = wholePage;
    box.indeterminate = chosen > 0 && !wholePage;
  }
  for (const bar of form.querySelectorAll("[data-bulk-bar]")) bar.hidden = chosen === 0;
  for (const text of form.querySelectorAll("[data-selected]")) {
    text.textContent = all ? `All ${totalText} selected` : `${chosen} selected`;
  }
  for (const button of form.querySelectorAll("[data-select-matching]")) {
    button.hidden = !wholePage || all || total <= chosen;
    button.textContent = `Select all ${totalText} matching`;
  }
  const selection = describeSelection(all, chosen, totalText);
  for (const button of form.querySelectorAll("[data-confirm-selected]")) {
    button.dataset.confirm = button.dataset.confirmSelected.replace("{}", selection);
  }
}

function showSelections() {
  for (const form of bulkForms()) showSelection(form);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-select-matching]");
  if (!button) return;
  button.form.querySelector("[data-select-all]").value = "1";
  showSelection(button.form);
});

document.addEventListener("change", (event) => {
  const changed = event.target;
  const form = changed.closest("form[data-bulk]");
  if (!form) return;
  if ("selectPage" in changed.dataset) {
    for (const box of form.querySelectorAll("[data-select]")) box.checked = changed.checked;
  }
  showSelection(form);
});

showSelections();
document.addEventListener("live:updated", showSelections);
