"""`webhooks-server config`."""

from webhooks_server.cli.options import ClientOptions, JsonOption, ServerOptions
from webhooks_server.cli.output import print_json
from webhooks_server.settings import ClientSettings, Settings


def config(
    *,
    as_json: JsonOption = False,
    settings: ServerOptions = None,
    client_settings: ClientOptions = None,
) -> None:
    """Show the settings as they hold, and where each comes from.

    Takes the options of the other commands, to show what they would make of them.

        webhooks-server config --data-dir /var/lib/webhooks
    """
    server, client = settings or Settings(), client_settings or ClientSettings()
    rows = [*server.effective(), *client.effective()]
    if as_json:
        print_json({row.variable: {"value": row.value, "source": row.source} for row in rows})
        return
    width = max(len(row.variable) for row in rows)
    value_width = max(len(row.value) for row in rows)
    for row in rows:
        print(f"{row.variable:{width}}  {row.value:{value_width}}  {row.source}")
