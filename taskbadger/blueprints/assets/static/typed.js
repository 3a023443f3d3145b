// What is typed into a form stays there when the Back button leads back to it. Browsers forget it,
// because pages are not stored and fields are not completed. It is kept in this tab alone, without
// passwords and secrets, and only for whoever typed it.
const PREFIX = "typed:";
const NOT_TYPED = ["hidden", "password", "file", "submit", "button", "image", "reset", "fieldset"];

const key = PREFIX + location.pathname + location.search;
const visitor = document.querySelector("[data-visitor]")?.dataset.visitor ?? "";

const fieldsOf = (form) =>
  [...form.elements].filter(
    (field) => field.name && !NOT_TYPED.includes(field.type) && !("secret" in field.dataset),
  );

const isTicked = (field) => field.type === "checkbox" || field.type === "radio";

// Selected rows are not kept: other rows may have come, and a button changes what is selected.
const typedForms = () => document.querySelectorAll('form[method="post"]:not([data-bulk])');

// What tells a field from all others, although rows come and go: the action of its form, its name,
// and the value of a box.
const identify = (form, field) =>
  JSON.stringify([
    form.getAttribute("action") ?? "",
    field.name,
    isTicked(field) ? field.value : null,
  ]);

// The fields by their identity, without those that share one.
function typedFields() {
  const fields = new Map();
  for (const form of typedForms()) {
    for (const field of fieldsOf(form)) {
      const identity = identify(form, field);
      fields.set(identity, fields.has(identity) ? null : field);
    }
  }
  return new Map([...fields].filter(([, field]) => field));
}

const stateOf = (field) => (isTicked(field) ? field.checked : field.value);

const readFields = () => [...typedFields()].map(([identity, field]) => [identity, stateOf(field)]);

function store(value) {
  try {
    if (value) sessionStorage.setItem(key, value);
    else sessionStorage.removeItem(key);
  } catch {
    // There is no room, or no permission: the page works without.
  }
}

function readStored() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(key));
    return stored?.visitor === visitor ? stored.fields : null;
  } catch {
    return null;
  }
}

function restoreField(field, value) {
  if (stateOf(field) === value) return;
  if (isTicked(field)) field.checked = value;
  else field.value = value;
  for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  if (value) field.closest("details")?.setAttribute("open", "");
}

function restore(states) {
  const present = typedFields();
  for (const [identity, value] of states) {
    const field = present.get(identity);
    if (field) restoreField(field, value);
  }
}

function forgetAll() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
  }
}

const begun = JSON.stringify(readFields());
const [navigation] = performance.getEntriesByType("navigation");
if (document.querySelector("[data-forget-typed]")) forgetAll();
else if (visitor && navigation?.type === "back_forward") {
  const fields = readStored();
  // After the scripts of the page, which suggest values.
  if (fields) addEventListener("load", () => restore(fields));
}

addEventListener("pagehide", () => {
  const fields = readFields();
  // An error has the address of the form that was sent, and must not forget it.
  if (!visitor || !fields.length) return;
  store(JSON.stringify(fields) === begun ? null : JSON.stringify({ visitor, fields }));
});
