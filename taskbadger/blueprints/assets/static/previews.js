// Previews of forms: <form data-preview="URL" data-preview-into="id"> fetches a part of a page with
// the values of its fields while people type.
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

  function askSoon() {
    clearTimeout(timer);
    target.setAttribute("aria-busy", "true");
    timer = setTimeout(ask, PAUSE);
  }

  form.addEventListener("input", askSoon);
  // What was typed before the sign-in is in the fields, but not in the preview yet.
  if ("filled" in form.dataset) askSoon();
}

// A new monitor is most likely in the visitor's own time zone.
function suggestZone(field) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // The Back button may have brought back what was typed.
  if (field.value !== field.defaultValue) return;
  if ([...field.list.options].some((option) => option.value === zone)) field.value = zone;
}

for (const field of document.querySelectorAll("[data-own-zone]")) suggestZone(field);
for (const form of document.querySelectorAll("form[data-preview]")) preview(form);
