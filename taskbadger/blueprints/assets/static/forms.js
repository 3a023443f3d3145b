// Forms: a question before they are sent, no second submission, short addresses.
function confirmFirst(form, question, submitter) {
  const dialog = document.getElementById("confirm");
  const [yes, no] = ["yes", "no"].map((word) => dialog.querySelector(`[data-confirm-${word}]`));
  dialog.querySelector("#confirm-text").textContent = question;
  yes.textContent = submitter?.dataset.yes ?? "Continue";
  no.textContent = submitter?.dataset.no ?? "Cancel";
  yes.onclick = () => {
    dialog.close();
    form.dataset.confirmed = "";
    form.requestSubmit(submitter);
  };
  no.onclick = () => dialog.close();
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !("confirmed" in form.dataset)) {
    event.preventDefault();
    confirmFirst(form, question, event.submitter);
    return;
  }
  // A secret is shown once: the second answer of a double click would replace it.
  if (!form.elements.namedItem("once")) return;
  if ("sent" in form.dataset) event.preventDefault();
  form.dataset.sent = "";
});

// A page that the browser brings back from its history may send its forms again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

// People share addresses of searches: leave out the empty fields.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

// “Tomorrow 08:00” is meant in the visitor's own zone.
document.addEventListener("formdata", (event) => {
  if (!event.formData.has("zone")) return;
  event.formData.set("zone", Intl.DateTimeFormat().resolvedOptions().timeZone);
});
