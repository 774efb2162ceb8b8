"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter
from pydantic import SecretStr

from webhooks_server.settings import ClientSettings, RelaySettings, Settings

if TYPE_CHECKING:
    from webhooks_server.storage.postgres import PostgresConfig

_SETTINGS = Group(
    "Settings",
    help="Each is an environment variable too, which the option outranks:"
    " --data-dir is WEBHOOKS_DATA_DIR.",
)

ServerOptions = Annotated[Settings | None, Parameter(name="*", group=_SETTINGS)]
RelayOptions = Annotated[RelaySettings | None, Parameter(name="*", group=_SETTINGS)]
ClientOptions = Annotated[ClientSettings | None, Parameter(name="*", group=_SETTINGS)]
DataDirOption = Annotated[
    Path | None, Parameter(group=_SETTINGS, help="The directory of the database; ./data if unset.")
]
DatabaseUrlOption = Annotated[
    str | None,
    Parameter(group=_SETTINGS, help="The PostgreSQL database; if unset, the data directory's."),
]
TenantOption = Annotated[str, Parameter(help="Whose subscriptions and events.")]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Print JSON, for other programs."
    ),
]


def database(url: str | None) -> "PostgresConfig | None":
    """Return the PostgreSQL database that is meant; None where it is a data directory's."""
    return (Settings() if url is None else Settings(database_url=SecretStr(url))).postgres_config()


def data_directory(given: Path | None) -> Path:
    """Return the data directory that is meant."""
    return (Settings() if given is None else Settings(data_dir=given)).data_dir
