// Copy buttons: <button data-copy="text"> or <button data-copy-from="URL">.
import { toast } from "./toasts.js";

async function textAt(url) {
  const answer = await fetch(url);
  if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
  return new Blob([await answer.text()], { type: "text/plain" });
}

async function copy({ copy: text, copyFrom: url }) {
  try {
    // A promise, because the permission of the click may have expired when the text arrives.
    if (url) await navigator.clipboard.write([new ClipboardItem({ "text/plain": textAt(url) })]);
    else await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("Copying failed.");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) copy(button.dataset);
});
