// The trigger of an alert rule: boxes and fields for numbers, in step with its text.
const pointsOf = (text) =>
  text
    .split(",")
    .map((point) => point.trim())
    .filter(Boolean);

// The numbers that a field has typed, as points of its form, such as "*/N%".
const pointsIn = (field) =>
  field.value
    .split(/[\s,%]+/)
    .filter(Boolean)
    .map((number) => field.dataset.form.replace("N", number));

function numberIn(point, field) {
  const [before, after] = field.dataset.form.split("N");
  if (!point.startsWith(before) || !point.endsWith(after)) return null;
  const number = point.slice(before.length, point.length - after.length);
  return /^[0-9]+$/.test(number) ? number : null;
}

function keepInStep(group) {
  const text = group.querySelector("#trigger");
  const boxes = [...group.querySelectorAll("[data-point]")];
  const fields = [...group.querySelectorAll("[data-form]")];
  const words = new Set(boxes.map((box) => box.dataset.point));
  const isKnown = (point) =>
    words.has(point) || fields.some((field) => numberIn(point, field) !== null);

  // Points stay in the order in which they were written.
  function write() {
    const ticked = boxes.filter((box) => box.checked).map((box) => box.dataset.point);
    const chosen = [...ticked, ...fields.flatMap(pointsIn)];
    const before = pointsOf(text.value);
    const kept = before.filter((point) => chosen.includes(point) || !isKnown(point));
    const added = chosen.filter((point) => !before.includes(point));
    text.value = [...kept, ...added].join(",");
  }

  function show() {
    const points = pointsOf(text.value);
    for (const box of boxes) box.checked = points.includes(box.dataset.point);
    for (const field of fields) {
      const numbers = points.map((point) => numberIn(point, field)).filter(Boolean);
      field.value = numbers.join(", ");
    }
  }

  group.addEventListener("input", (event) => {
    if (event.target === text) show();
    else write();
  });
  // What the browser kept of an earlier visit.
  addEventListener("pageshow", show);
}

for (const group of document.querySelectorAll("[data-trigger]")) keepInStep(group);
