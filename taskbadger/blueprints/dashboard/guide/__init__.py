"""How to send the first task: snippets with the project's own key, and a demo."""
