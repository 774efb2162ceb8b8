"""`serve`, and the commands that look after its data directory: config, migrate, backup."""

import asyncio
import json
import shutil
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.harness.command_line import finish, line_with, run, send_signal, serving, start
from webhooks_server.settings import Settings


async def test_a_second_server_on_a_data_directory_or_a_port_is_refused(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    async with serving(Path(one)) as first:
        on_directory, on_port = await asyncio.gather(
            run("serve", "--data-dir", one, "--listen", "127.0.0.1:0"),
            run("serve", "--data-dir", two, "--listen", first.address),
        )

    assert (on_directory.status, on_port.status) == (1, 1)
    (line,) = on_directory.err.splitlines()
    assert f"{one} is in use by process {first.process.pid}" in line
    assert first.address in line
    (line,) = on_port.err.splitlines()
    assert first.address in line


async def test_options_and_variables_of_serve_are_settings(tmp_path: Path) -> None:
    variables = {"WEBHOOKS_DATA_DIR": str(tmp_path / "data"), "WEBHOOKS_LOG_FORMAT": "json"}
    process = await start("serve", "--listen", "127.0.0.1:0", variables=variables)
    settings = json.loads(await line_with(process.stderr, "server.settings"))["settings"]
    line = await line_with(process.stderr, "server.serving")
    send_signal(process, signal.SIGINT)
    finished = await finish(process)

    assert json.loads(line)["address"].startswith("127.0.0.1:")
    assert set(settings.split()) == {
        f"WEBHOOKS_DATA_DIR={tmp_path / 'data'}",
        "WEBHOOKS_LISTEN=127.0.0.1:0",
        "WEBHOOKS_LOG_FORMAT=json",
    }
    assert (finished.status, finished.out) == (0, "")
    assert (tmp_path / "data" / "webhooks.db").exists()


async def test_migrate_makes_a_database_that_serve_takes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    migrated = await run("migrate", "--data-dir", str(data))
    assert (migrated.status, migrated.err) == (0, "")
    assert migrated.out == f"the database in {data} has this version's schema\n"

    async with serving(data, "--no-migrate"):
        refused = await run("migrate", "--data-dir", str(data))

    assert refused.status == 1
    assert "is in use by process" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.long
async def test_a_running_server_makes_the_backup(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as server:
        await run("publish", "kept", "{}", "--event-id", "kept-1", "--server", server.address)
        for where in (("--data-dir", str(data)), ("--server", server.address)):
            made = await run("backup", "--json", *where)
            assert made.status == 0, made.err
            assert events_of(made.json["path"]) == ["kept-1"]
            assert made.json["size_bytes"] == size_of(made.json["path"])


@pytest.mark.long
async def test_where_no_server_runs_the_command_makes_the_backup(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as server:
        await run("publish", "kept", "{}", "--event-id", "kept-1", "--server", server.address)
    made = await run("backup", variables={"WEBHOOKS_DATA_DIR": str(data)})

    assert made.status == 0, made.err
    pairs = dict(line.split(maxsplit=1) for line in made.out.splitlines())
    assert Path(pairs["path"]).parent == data / "backups"
    assert events_of(pairs["path"]) == ["kept-1"]

    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(pairs["path"], restored / "webhooks.db")
    async with serving(restored) as server:
        audited = await run("audit", "--json", "--server", server.address)
    assert (audited.json["events"], audited.json["violations"]) == (1, [])


@pytest.mark.long
async def test_a_data_directory_given_as_an_option_outranks_a_server_in_a_variable(
    tmp_path: Path,
) -> None:
    """Else the backup would be one of another database, without a word."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    await run("migrate", "--data-dir", str(mine))
    async with serving(other) as server:
        variables = {"WEBHOOKS_SERVER": server.address}
        made, refused = await asyncio.gather(
            run("backup", "--json", "--data-dir", str(mine), variables=variables),
            run("audit", "--data-dir", str(mine), "--server", server.address),
        )
        # Each owns the directory as long as it works on it.
        counted = await run("audit", "--json", "--data-dir", str(mine), variables=variables)

    assert Path(str(made.json["path"])).parent == mine / "backups"
    assert counted.json["violations"] == []
    assert not (other / "backups").exists()
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "give one of them" in refused.err


@pytest.mark.long
async def test_audit_of_a_data_directory_whether_a_server_runs_on_it_or_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    where = ("audit", "--json", "--data-dir", str(data))
    async with serving(data) as server:
        await run("publish", "a", "{}", "--server", server.address)
        beside = await run(*where)
    # One after the other: without a server each of them owns the directory while it reads.
    alone = await run(*where)
    of_another = await run(*where, "--tenant", "other")

    assert (beside.json["events"], beside.json["violations"]) == (1, [])
    assert alone.json == beside.json
    assert of_another.json["events"] == 0


def names_in(directory: Path) -> list[str]:
    return [one.name for one in directory.iterdir()]


def size_of(path: object) -> int:
    return Path(str(path)).stat().st_size


def events_of(path: object) -> list[str]:
    with sqlite3.connect(str(path)) as database:
        found = [row[0] for row in database.execute("SELECT id FROM events")]
    database.close()
    return found


async def test_a_backup_of_nothing_is_one_clear_line(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "misspelt"):
        made = await run("backup", "--data-dir", str(directory))

        assert made.status == 1
        assert made.err == f"webhooks-server: there is no database in {directory}\n"
    assert names_in(tmp_path) == []


async def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "webhooks.db").write_bytes(b"not a database" * 100)
    commands = (("serve", "--listen", "127.0.0.1:0"), ("migrate",), ("backup",))
    for command in commands:
        refused = await run(*command, "--data-dir", str(tmp_path))
        assert refused.status == 1
        assert refused.err.count("\n") == 1
        assert "webhooks.db" in refused.err

    assert (tmp_path / "webhooks.db").read_bytes() == b"not a database" * 100


@pytest.mark.long
async def test_an_audit_that_finds_something_ends_with_status_1(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as server:
        await run("publish", "a", "{}", "--server", server.address)
        with sqlite3.connect(data / "webhooks.db") as database:
            database.execute("UPDATE events SET matched_count = 1")
        database.close()
        audited = await run("audit", "--server", server.address)

    assert audited.status == 1
    assert "violation: " in audited.out


async def test_config_shows_each_setting_with_its_source() -> None:
    variables = {"WEBHOOKS_SLOTS": "7", "WEBHOOKS_SERVER": "there:1"}
    shown = await run("config", "--slots", "9", "--no-migrate", variables=variables)
    as_json = await run("config", "--json", variables=variables)

    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert rows["WEBHOOKS_SLOTS"] == ["9", "option"]
    assert rows["WEBHOOKS_MIGRATE"] == ["false", "option"]
    assert rows["WEBHOOKS_SERVER"] == ["there:1", "environment"]
    assert rows["WEBHOOKS_LISTEN"] == ["127.0.0.1:50051", "default"]
    assert len(rows) == len(Settings.model_fields) + 1
    assert as_json.json["WEBHOOKS_SLOTS"] == {"value": "7", "source": "environment"}


async def test_what_a_terminal_cannot_show_is_printed_as_an_escape() -> None:
    variables = {"PYTHONIOENCODING": "ascii", "WEBHOOKS_DATA_DIR": "dätä"}
    shown, as_json = await asyncio.gather(
        run("config", variables=variables), run("config", "--json", variables=variables)
    )

    assert (shown.status, shown.err) == (0, "")
    assert "d\\xe4t\\xe4" in shown.out
    assert as_json.json["WEBHOOKS_DATA_DIR"] == {"value": "dätä", "source": "environment"}


async def test_an_unknown_variable_is_refused_by_every_command(tmp_path: Path) -> None:
    commands = (("serve", "--data-dir", str(tmp_path)), ("config",), ("audit",), ("publish", "a"))
    results = await asyncio.gather(
        *(run(*command, variables={"WEBHOOKS_LISTN": "x"}) for command in commands)
    )

    for refused in results:
        assert refused.status == 2
        assert refused.err == (
            "webhooks-server: WEBHOOKS_LISTN is not a setting; did you mean WEBHOOKS_LISTEN?\n"
        )


async def test_a_server_beyond_this_machine_must_be_asked_for(tmp_path: Path) -> None:
    port = socket.create_server(("127.0.0.1", 0))
    with port:
        listen = f"0.0.0.0:{port.getsockname()[1]}"
        refused = await run("serve", "--data-dir", str(tmp_path / "data"), "--listen", listen)

    assert refused.status == 2
    assert "--plaintext" in refused.err
    assert not (tmp_path / "data").exists()
