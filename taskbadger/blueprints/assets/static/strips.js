// Rows of links that may be wider than the window: scrolls the current one into view, and marks
// the edges behind which there is more.
const STRIPS = ".sections, .tabs";
const strips = () => document.querySelectorAll(STRIPS);

function markEdges(strip) {
  const end = strip.scrollLeft + strip.clientWidth;
  strip.toggleAttribute("data-more-before", strip.scrollLeft > 1);
  strip.toggleAttribute("data-more-after", end < strip.scrollWidth - 1);
}

function revealCurrent(strip) {
  const current = strip.querySelector("[aria-current]")?.getBoundingClientRect();
  const place = strip.getBoundingClientRect();
  // Unlike scrollIntoView, this does not scroll the page.
  if (current) strip.scrollLeft += current.left - place.left - (place.width - current.width) / 2;
}

function markAllEdges() {
  for (const strip of strips()) markEdges(strip);
}

for (const strip of strips()) revealCurrent(strip);
markAllEdges();
window.addEventListener("resize", markAllEdges);
document.addEventListener("live:updated", markAllEdges);
document.addEventListener(
  "scroll",
  (event) => {
    if (event.target.matches?.(STRIPS)) markEdges(event.target);
  },
  { capture: true, passive: true },
);
