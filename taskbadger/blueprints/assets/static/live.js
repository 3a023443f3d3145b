// Keeps a page up to date: asks again with the version it shows, and changes only what differs.
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

// Morphing: old nodes stay, so focus, selection, open <details>, typed text and ticks stay with them.
const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key || node.id || "" : "");

function sameKind(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function morphAttributes(old, fresh) {
  const stays = old.nodeName === "DETAILS" ? ["open"] : [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !stays.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !stays.includes(name)) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const wantedKeys = new Set([...fresh.children].map(keyOf));
  // Gone rows leave first: what follows them then need not be moved, which would cost the focus.
  for (const child of [...old.children]) if (keyOf(child) && !wantedKeys.has(keyOf(child))) child.remove();
  const keyed = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = keyOf(wanted) && keyed.get(keyOf(wanted));
    // Likewise the spaces between rows: rather drop one than move the row behind it.
    while (known && at && at !== known && !keyOf(at)) at = without(at);
    const match = known || (at && !keyOf(wanted) && sameKind(at, wanted) ? at : null);
    if (!match) {
      old.insertBefore(wanted, at);
      if (wanted.nodeType === 1 && "row" in wanted.dataset) wanted.classList.add("fresh");
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    morph(match, wanted);
  }
  while (at) at = without(at);
}

function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function morph(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if ("keep" in old.dataset || old.isEqualNode(fresh)) return;
  morphAttributes(old, fresh);
  // What somebody typed or ticked is theirs; the attribute above is only the default.
  if (old.nodeName === "TEXTAREA") return;
  morphChildren(old, fresh);
}

function apply(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  for (const region of main.querySelectorAll("[data-live]")) {
    const wanted = fresh.querySelector(`#${CSS.escape(region.id)}`);
    if (wanted) morph(region, document.adoptNode(wanted));
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

function age() {
  const seconds = Math.round((Date.now() - updated) / 1000);
  const [, size, name] = [[60, 1, "s"], [3600, 60, "min"], [Infinity, 3600, "h"]].find(([limit]) => seconds < limit);
  return seconds < 1 ? "just now" : `${Math.floor(seconds / size)} ${name} ago`;
}

function showAge() {
  if (document.hidden) say("paused", "paused");
  else if (failures) say("error", `no answer, last ${age()}`);
  else say("ok", `updated ${age()}`);
  // What is shown must not look like the present.
  main.toggleAttribute("data-unanswered", failures > 0);
}

async function ask() {
  const headers = { "X-Live": "1", "If-None-Match": `"${etag}"` };
  const first = main.querySelector("[data-anchor]");
  if (anchored && first) headers["X-Live-Anchor"] = first.dataset.anchor;
  const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(20000) });
  // Signed out, or not ours any more: let the server say so in full.
  if (answer.type === "opaqueredirect" || [401, 403, 404, 410].includes(answer.status)) return location.reload();
  if (answer.status !== 304 && !answer.ok) throw new Error(`status ${answer.status}`);
  if (answer.status === 200) apply(await answer.text());
  // A change that this page does not show still has a new version.
  else etag = main.dataset.etag = answer.headers.get("ETag")?.replaceAll('"', "") ?? etag;
  const moving = answer.status === 200 || "moving" in main.dataset;
  wait = moving ? FASTEST : Math.min(wait * 1.5, SLOWEST);
  updated = Date.now();
  failures = 0;
}

async function turn() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  try {
    await ask();
  } catch {
    failures += 1;
    wait = Math.min(FASTEST * 2 ** failures, SLOWEST_RETRY);
    if (failures === 2) document.dispatchEvent(new CustomEvent("toast", { detail: "The server does not answer. Trying again." }));
  } finally {
    asking = false;
  }
  showAge();
  timer = setTimeout(turn, wait);
}

async function showNewcomers(link) {
  const hadFocus = document.activeElement === link;
  anchored = false;
  etag = "";
  await turn();
  anchored = true;
  // The link is gone; what it asked for is where one goes on.
  if (hadFocus && !link.isConnected) main.querySelector("[data-row-link]")?.focus();
}

if (live) {
  if (sign) sign.hidden = false;
  if (sign) setInterval(showAge, 1000);
  timer = setTimeout(turn, wait);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else {
      wait = FASTEST;
      turn();
    }
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-newcomers]");
    if (!link) return;
    event.preventDefault();
    showNewcomers(link);
  });
}
