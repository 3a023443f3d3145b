// Starts Swagger UI on the OpenAPI document beside the page.
const root = document.getElementById("swagger-ui");

window.SwaggerUIBundle({
  url: new URL(root.dataset.document, location.href).href,
  domNode: root,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
