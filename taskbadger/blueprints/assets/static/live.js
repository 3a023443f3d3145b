// Live pages: polls the page's own address with the version that it shows, and morphs the regions
// that changed.
import { morph } from "./morph.js";
import { relative } from "./times.js";

const FASTEST = 2000;
const SLOWEST = 30000;
const SLOWEST_RETRY = 10000;
const main = document.getElementById("main");
const sign = document.querySelector(".live");
const live = Boolean(main.dataset.etag);

let etag = main.dataset.etag;
let anchored = true;
let wait = FASTEST;
let timer = 0;
let updated = Date.now();
let failures = 0;
let asking = false;

function apply(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  for (const region of main.querySelectorAll("[data-live]")) {
    const wanted = fresh.querySelector(`#${CSS.escape(region.id)}`);
    if (wanted) morph(region, wanted);
  }
  main.dataset.etag = etag = fresh.dataset.etag;
  main.dataset.failing = fresh.dataset.failing;
  main.toggleAttribute("data-moving", "moving" in fresh.dataset);
  showFailing();
  document.dispatchEvent(new Event("live:updated"));
}

function showFailing() {
  const failing = Number(main.dataset.failing);
  const icon = document.querySelector("link[rel=icon]");
  const href = failing ? icon.dataset.iconFailing : icon.dataset.icon;
  document.title = (failing ? `(${failing}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

function say(state, text) {
  if (!sign) return;
  sign.dataset.liveState = state;
  sign.querySelector("[data-live-text]").textContent = text;
}

function showAge() {
  const age = relative(updated, Date.now());
  if (document.hidden) say("paused", "paused");
  else if (failures) say("error", `offline, updated ${age}`);
  else say("ok", `updated ${age}`);
  // The styles fade what may be out of date.
  main.toggleAttribute("data-unanswered", failures > 0);
}

async function ask() {
  const headers = { "X-Live": "1", "If-None-Match": `"${etag}"` };
  const first = main.querySelector("[data-anchor]");
  if (anchored && first) headers["X-Live-Anchor"] = first.dataset.anchor;
  const answer = await fetch(location.href, {
    headers,
    cache: "no-store",
    redirect: "manual",
    signal: AbortSignal.timeout(20000),
  });
  // Signed out, or no longer allowed: load the page that says so.
  if (answer.type === "opaqueredirect" || [401, 403, 404, 410].includes(answer.status))
    return location.reload();
  if (answer.status !== 304 && !answer.ok) throw new Error(`status ${answer.status}`);
  if (answer.status === 200) apply(await answer.text());
  // Something changed that this page does not show: only the version is new.
  else etag = main.dataset.etag = answer.headers.get("ETag")?.replaceAll('"', "") ?? etag;
  const moving = answer.status === 200 || "moving" in main.dataset;
  wait = moving ? FASTEST : Math.min(wait * 1.5, SLOWEST);
  updated = Date.now();
  failures = 0;
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  try {
    await ask();
  } catch {
    failures += 1;
    wait = Math.min(FASTEST * 2 ** failures, SLOWEST_RETRY);
    if (failures === 2)
      document.dispatchEvent(
        new CustomEvent("toast", { detail: "The server is not responding. Trying again." }),
      );
  } finally {
    asking = false;
  }
  showAge();
  timer = setTimeout(poll, wait);
}

async function showNewcomers(link) {
  const hadFocus = document.activeElement === link;
  anchored = false;
  etag = "";
  await poll();
  anchored = true;
  // The link is gone: continue at the first of the new rows.
  if (hadFocus && !link.isConnected) main.querySelector("[data-row-link]")?.focus();
}

if (live) {
  if (sign) sign.hidden = false;
  if (sign) setInterval(showAge, 1000);
  timer = setTimeout(poll, wait);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else {
      wait = FASTEST;
      poll();
    }
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-newcomers]");
    if (!link) return;
    event.preventDefault();
    showNewcomers(link);
  });
}
