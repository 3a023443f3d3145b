"""Counts what somebody does on a page: clicks, and keys that choose. Typing is free."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page


@dataclass
class Walk:
    """Somebody who begins on a page and does a job."""

    page: Page
    clicks: int = 0

    def click(self, target: Locator) -> None:
        """Click on something that can be seen and reached."""
        target.click()
        self.clicks += 1

    def choose(self, target: Locator, option: str) -> None:
        """Choose an option of a list, which takes two clicks."""
        target.select_option(option)
        self.clicks += 2

    def press(self, key: str) -> None:
        """Press a key that chooses or leads on."""
        self.page.keyboard.press(key)
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        """Type into the first field with this label."""
        self.page.get_by_label(label, exact=True).first.fill(text)
