// A slug follows the name as it is typed, until somebody types a slug. The server makes the same one
// (domain/slugs.py) where the field is left empty.
export function slugOf(name, maxLength) {
  const plain = name
    .toUpperCase()
    .toLowerCase()
    .normalize("NFKD")
    .replace(/\P{ASCII}/gu, "");
  const slug = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return slug.slice(0, maxLength).replace(/-+$/, "");
}

for (const form of document.querySelectorAll("form[data-slug-from]")) {
  const name = form.elements.namedItem(form.dataset.slugFrom);
  const slug = form.elements.namedItem("slug");
  if (!slug) continue;
  let follows = slug.value === "";
  slug.addEventListener("input", () => {
    follows = slug.value === "";
  });
  name.addEventListener("input", () => {
    if (follows) slug.value = slugOf(name.value, slug.maxLength);
  });
}
