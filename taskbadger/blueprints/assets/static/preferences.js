// What a visitor chose, in cookies: the server reads them, so that the next page does not flash.
const html = document.documentElement;
const YEAR = 31536000;

// An empty value forgets the choice.
export function remember(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  const age = value ? YEAR : 0;
  document.cookie = `${name}=${value}; path=${html.dataset.root}; max-age=${age}; samesite=lax${secure}`;
}
