"""docs/settings.md names every setting with the default that the code has."""

import re
from pathlib import Path

from webhooks_server.settings import ClientSettings, RelaySettings, Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(WEBHOOKS_[A-Z_]+)` \| `([^`]*)` \|", re.MULTILINE)


def test_the_page_lists_all_settings_with_their_defaults() -> None:
    documented = dict(ROW.findall(PAGE.read_text()))
    actual = {
        one.variable: one.value
        for settings in (
            Settings.model_construct(),
            RelaySettings.model_construct(),
            ClientSettings.model_construct(),
        )
        for one in settings.effective()
    }

    assert documented == actual
