"""Names of tasks whose addresses are easily got wrong."""

ANY_NAMES = [
    "reports/daily",
    "a//b",
    "/etc/cron.d",
    "ends/",
    "x/badge.svg",
    "badge.svg",
    "names/x/names",
    "..",
    "a/../b",
    "100 % of 50%25",
    "a?b#c&d=e",
    "back\\slash",
    "データ取込み 🎉",
    "\u202eabc",
    "(brackets) [and] {more}",
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&",
    "x" * 255,
]
