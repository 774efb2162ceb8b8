"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from webhooks_server.settings import ClientSettings, Settings

_SETTINGS = Group(
    "Settings",
    help="Each is an environment variable too, which the option outranks:"
    " --data-dir is WEBHOOKS_DATA_DIR.",
)

ServerOptions = Annotated[Settings | None, Parameter(name="*", group=_SETTINGS)]
ClientOptions = Annotated[ClientSettings | None, Parameter(name="*", group=_SETTINGS)]
DataDirOption = Annotated[
    Path | None, Parameter(group=_SETTINGS, help="The directory of the database; ./data if unset.")
]
TenantOption = Annotated[str, Parameter(help="Whose subscriptions and events.")]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Print JSON, for other programs."
    ),
]


def data_directory(given: Path | None) -> Path:
    """Return the data directory that is meant."""
    return (Settings() if given is None else Settings(data_dir=given)).data_dir
