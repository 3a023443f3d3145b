// Morphs a region of an open page into its new version with Idiomorph. Elements stay the same
// elements, so focus, open folds, typed text and ticked boxes survive.

// Idiomorph matches elements by id. Rows have a data-key, which is unique within its region only.
function keysToIds(region) {
  for (const element of region.querySelectorAll("[data-key]:not([id])")) {
    element.id = `${region.id}/${element.dataset.key}`;
  }
}

// What people changed: the new attribute is only the default.
function isTheirs(name, element) {
  if (element.nodeName === "DETAILS") return name === "open";
  if (element.nodeName === "OPTION") return name === "selected";
  if (element.nodeName !== "INPUT" || element.type === "hidden") return false;
  return name === "checked" || name === "value";
}

const callbacks = {
  beforeNodeMorphed: (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) return true;
    return !("keep" in old.dataset) && old.nodeName !== "TEXTAREA" && !old.isEqualNode(fresh);
  },
  beforeAttributeUpdated: (name, element) => !isTheirs(name, element),
  afterNodeAdded: (node) => {
    if (node.nodeType === Node.ELEMENT_NODE && "row" in node.dataset) node.classList.add("fresh");
  },
};

export function morph(region, fresh) {
  keysToIds(region);
  keysToIds(fresh);
  window.Idiomorph.morph(region, fresh, { callbacks });
}
