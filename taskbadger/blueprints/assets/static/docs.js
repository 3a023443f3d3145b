// Starts Swagger UI on the OpenAPI document beside the page, in the theme of the dashboard.
const html = document.documentElement;
const root = document.getElementById("swagger-ui");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function showTheme() {
  const dark = html.dataset.theme ? html.dataset.theme === "dark" : prefersDark.matches;
  html.classList.toggle("dark-mode", dark);
}

async function start() {
  const address = new URL(root.dataset.document, location.href);
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  // Send calls to where this page came from, with its prefix: the server may not know either.
  const server = { url: new URL("..", address).href.replace(/\/$/, "") };
  window.SwaggerUIBundle({
    spec: { ...(await answer.json()), servers: [server] },
    domNode: root,
    // Swagger UI puts deep links inside buttons, where keyboards and screen readers lose them.
    deepLinking: false,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

showTheme();
prefersDark.addEventListener("change", showTheme);
start().catch(() => {
  root.textContent = "The OpenAPI document could not be loaded.";
});

// Swagger UI gives the choice of a server no name for screen readers.
new MutationObserver(() =>
  root.querySelector("#servers")?.setAttribute("aria-label", "Server"),
).observe(root, { childList: true, subtree: true });
