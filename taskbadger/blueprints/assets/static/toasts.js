// Short messages in the corner. Other scripts show one by a "toast" event with the text as detail.
const SHOWN_MS = 5000;

export function toast(message) {
  const element = Object.assign(document.createElement("p"), {
    className: "toast",
    textContent: message,
  });
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), SHOWN_MS);
}

document.addEventListener("toast", (event) => toast(event.detail));
