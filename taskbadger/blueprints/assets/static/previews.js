// Previews of forms: <form data-preview="URL" data-preview-into="id"> fetches a part of a page with
// the values of its fields while people type. And the builder of triggers.
const PAUSE = 300;

function preview(form) {
  const target = document.getElementById(form.dataset.previewInto);
  let timer = 0;
  let asking = null;

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const fields = new FormData(form);
    fields.delete("csrf_token");
    try {
      const url = `${form.dataset.preview}?${new URLSearchParams(fields)}`;
      const answer = await fetch(url, { signal: asking.signal, cache: "no-store" });
      if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
      // Our own server escapes what people typed.
      const part = new DOMParser().parseFromString(await answer.text(), "text/html");
      target.replaceChildren(...part.body.childNodes);
      document.dispatchEvent(new Event("live:updated"));
    } catch (error) {
      if (error.name === "AbortError") return;
      target.textContent = "No preview is available.";
    }
    target.removeAttribute("aria-busy");
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    target.setAttribute("aria-busy", "true");
    timer = setTimeout(ask, PAUSE);
  });
}

// The text field holds the trigger; boxes and chips are another way to edit it.
const pointsOf = (text) =>
  text
    .split(",")
    .map((point) => point.trim())
    .filter(Boolean);

function build(builder) {
  const text = document.getElementById(builder.dataset.trigger);
  const boxes = [...builder.querySelectorAll("[data-point]")];
  const chips = builder.querySelector("[data-points]");
  const number = builder.querySelector("[data-number]");
  const form = builder.querySelector("[data-form]");
  const words = new Set(boxes.map((box) => box.dataset.point));

  function write(points) {
    text.value = points.join(",");
    text.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function show() {
    const points = pointsOf(text.value);
    for (const box of boxes) box.checked = points.includes(box.dataset.point);
    chips.replaceChildren(...points.filter((point) => !words.has(point)).map(chip));
  }

  function chip(point) {
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      className: "small secondary",
      textContent: `${point} ×`,
    });
    button.setAttribute("aria-label", `Remove ${point}`);
    button.onclick = () => write(pointsOf(text.value).filter((one) => one !== point));
    return button;
  }

  function add() {
    const digits = number.value.trim();
    if (!/^[0-9]+$/.test(digits)) return number.focus();
    const point = form.value.replace("N", digits);
    const points = pointsOf(text.value);
    if (!points.includes(point)) write([...points, point]);
    number.value = "";
  }

  builder.addEventListener("change", (event) => {
    const point = event.target.dataset.point;
    if (!point) return;
    const points = pointsOf(text.value).filter((one) => one !== point);
    write(event.target.checked ? [...points, point] : points);
  });
  builder.querySelector("[data-add]").addEventListener("click", add);
  number.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
  text.addEventListener("input", show);
  show();
}

// A new monitor is most likely in the visitor's own time zone.
function suggestZone(field) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if ([...field.list.options].some((option) => option.value === zone)) field.value = zone;
}

for (const field of document.querySelectorAll("[data-own-zone]")) suggestZone(field);
for (const form of document.querySelectorAll("form[data-preview]")) preview(form);
for (const builder of document.querySelectorAll("[data-trigger]")) build(builder);
