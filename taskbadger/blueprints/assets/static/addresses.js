// What depends on the address that the browser itself has for this server.

// Links that carry a secret never follow the Host header: the browser puts its own address first.
for (const place of document.querySelectorAll("[data-own-address]")) {
  const code = place.querySelector("code");
  const link = location.origin + code.textContent;
  code.textContent = link;
  place.querySelector("[data-copy]").dataset.copy = link;
}

// Secure cookies do not come back over http; browsers accept them on their own machine.
if (!isSecureContext) {
  for (const notice of document.querySelectorAll("[data-needs-https]")) notice.hidden = false;
}
