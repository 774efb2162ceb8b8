"""Settings: where values come from, what is refused, and what is built from them."""

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from webhooks_server.app.workers import page_of
from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.errors import InvalidSettings
from webhooks_server.services.pings import MAX_PINGS
from webhooks_server.settings import ClientSettings, Settings

BEYOND = "0.0.0.0:50051"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("WEBHOOKS_")]:
        monkeypatch.delenv(name)


def given(**options: object) -> Settings:
    """Return what the command line makes of options, which come as text."""
    return Settings.model_validate(options)


def sources(settings: Settings) -> dict[str, tuple[str, str]]:
    return {one.variable: (one.value, one.source) for one in settings.effective()}


def test_an_option_outranks_a_variable_and_a_variable_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBHOOKS_SLOTS", "7")
    monkeypatch.setenv("WEBHOOKS_STOP_GRACE", "3")
    settings = Settings(slots=9)

    assert settings.slots == 9
    assert sources(settings)["WEBHOOKS_SLOTS"] == ("9", "option")
    assert sources(settings)["WEBHOOKS_STOP_GRACE"] == ("3.0", "environment")
    assert sources(settings)["WEBHOOKS_MIGRATE"] == ("true", "default")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOKS_SLOTS", "")

    assert sources(Settings())["WEBHOOKS_SLOTS"] == ("256", "default")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("WEBHOOKS_LISTN", "WEBHOOKS_LISTEN"),
        ("WEBHOOKS_DATADIR", "WEBHOOKS_DATA_DIR"),
        ("webhooks_servers", "WEBHOOKS_SERVER"),
    ],
)
@pytest.mark.parametrize("kind", [Settings, ClientSettings])
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings | ClientSettings], name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")

    with pytest.raises(InvalidSettings, match=f"^{name} is not a setting; .* {nearest}\\?$"):
        kind()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("listen", "50051", "must be host:port"),
        ("listen", "localhost", "must be host:port"),
        ("listen", "127.0.0.1:65536", "must be host:port"),
        ("listen", "::1:50051", "must be host:port"),
        ("profile", "staging", "must be 'auto', 'development' or 'production'"),
        ("max_payload_bytes", "0", "must be greater than or equal to 1"),
        ("max_payload_bytes", "3145729", "must be less than or equal to 3145728"),
        ("slots", "0", "must be greater than or equal to 1"),
        ("slots", "4097", "must be less than or equal to 4096"),
        ("slots", "many", "must be a valid integer"),
        ("host_in_flight", "many", "must be auto or 0 to 1000000"),
        ("host_in_flight", "-1", "must be auto or 0 to 1000000"),
        ("host_requests_per_second", "1000001", "must be auto or 0 to 1000000"),
        ("bytes_in_flight", "1048575", "must be greater than or equal to 1048576"),
        ("kept_response_bytes", "-1", "must be greater than or equal to 0"),
        ("kept_response_bytes", "65537", "must be less than or equal to 65536"),
        ("migrate", "perhaps", "must be a valid boolean"),
        ("max_concurrent_calls", "0", "must be greater than or equal to 1"),
        ("max_concurrent_calls", "100001", "must be less than or equal to 100000"),
        ("retention", "a month", "must be a span such as 30d, 12h, 90m or 45s"),
        ("retention", "3651d", "must be a span such as"),
        ("disable_after", "-1", "must be a span such as"),
        ("log_level", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "must be 'auto', 'json' or 'console'"),
        ("drain_delay", "301", "must be less than or equal to 300"),
        ("stop_grace", "-0.1", "must be greater than or equal to 0"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_it_was_given_by(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        given(**{name: value})
    assert refused.value.message.startswith(f"--{name.replace('_', '-')} {problem}")

    monkeypatch.setenv(f"WEBHOOKS_{name.upper()}", value)
    with pytest.raises(InvalidSettings) as refused:
        Settings()
    assert refused.value.message.startswith(f"WEBHOOKS_{name.upper()} {problem}")


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings, match=r"--slots must .*; --log-level must "):
        given(slots=0, log_level="loud")


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, EgressPolicy(allow_http=True, allow_loopback=True)),
        ({"listen": "[::1]:0"}, EgressPolicy(allow_http=True, allow_loopback=True)),
        ({"listen": "localhost:1"}, EgressPolicy(allow_http=True, allow_loopback=True)),
        ({"profile": "production"}, EgressPolicy(allow_http=False, allow_loopback=False)),
        (
            {"profile": "production", "egress_allow_http": True},
            EgressPolicy(allow_http=True, allow_loopback=False),
        ),
        (
            {"listen": BEYOND, "plaintext": True},
            EgressPolicy(allow_http=False, allow_loopback=False),
        ),
    ],
)
def test_the_profile_decides_what_subscriptions_may_target(
    options: dict[str, object], policy: EgressPolicy
) -> None:
    assert given(**options).egress_policy == policy


@pytest.mark.parametrize("listen", [BEYOND, "[::]:50051", "10.0.0.1:1", "hooks.example.com:1"])
def test_listening_beyond_this_machine_must_be_said(listen: str) -> None:
    with pytest.raises(InvalidSettings, match="WEBHOOKS_PLAINTEXT=true"):
        Settings(listen=listen)
    assert Settings(listen=listen, plaintext=True).listen == listen


def test_development_beyond_this_machine_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="choose production or listen on loopback"):
        Settings(listen=BEYOND, plaintext=True, profile="development")


@pytest.mark.parametrize(
    ("options", "json"),
    [
        ({}, False),
        ({"profile": "production"}, True),
        ({"log_format": "json"}, True),
        ({"profile": "production", "log_format": "console"}, False),
    ],
)
def test_logs_are_json_in_production_unless_said_otherwise(
    options: dict[str, object], json: bool
) -> None:
    assert given(**options).logs_json is json


def test_a_secret_shows_as_asterisks() -> None:
    class WithSecret(Settings):
        pepper: SecretStr = Field(default=SecretStr("canary-1"))

    settings = WithSecret.model_validate({"pepper": "canary-2"})
    assert sources(settings)["WEBHOOKS_PEPPER"] == ("**********", "option")
    assert settings.chosen() == "WEBHOOKS_PEPPER='**********'"


def test_what_was_chosen_is_what_differs_from_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().chosen() == ""
    monkeypatch.setenv("WEBHOOKS_SLOTS", "7")
    chosen = Settings(data_dir=Path("some where"), migrate=False).chosen()
    assert chosen.split(" ", 1) == [
        "WEBHOOKS_DATA_DIR='some",
        "where' WEBHOOKS_SLOTS=7 WEBHOOKS_MIGRATE=false",
    ]


def test_a_bad_value_is_not_repeated_since_it_may_be_a_secret_in_the_wrong_place() -> None:
    with pytest.raises(InvalidSettings) as refused:
        given(slots="whsec_canary")
    assert "canary" not in refused.value.message


def test_each_component_gets_its_configuration() -> None:
    settings = Settings(
        data_dir=Path("there"),
        migrate=False,
        slots=3,
        kept_response_bytes=5,
        stop_grace=6.0,
        listen="127.0.0.1:0",
        reflection=False,
        max_concurrent_calls=7,
        max_payload_bytes=8,
    )

    storage = settings.sqlite_config()
    assert (storage.data_dir, storage.migrate) == (Path("there"), False)
    relay = settings.relay_config()
    assert (relay.kept_body_bytes, relay.kept_header_bytes) == (5, 8192)
    assert relay.concurrency == 3 + MAX_PINGS
    engine = settings.engine_config("engine-1")
    assert (engine.engine, engine.slots, engine.stop_grace) == ("engine-1", 3, 6.0)
    services = settings.services_config()
    assert (services.max_payload_bytes, services.egress.allow_http) == (8, True)
    server = settings.server_config()
    assert (server.listen, server.reflection) == ("127.0.0.1:0", False)
    assert (server.max_concurrent_calls, server.max_payload_bytes) == (7, 8)


def test_keeping_no_response_keeps_no_headers_either() -> None:
    relay = Settings(kept_response_bytes=0).relay_config()

    assert (relay.kept_body_bytes, relay.kept_header_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", 30 * 86400.0),
        ("12h", 12 * 3600.0),
        ("90m", 5400.0),
        ("45s", 45.0),
        ("45", 45.0),
        ("3650d", 3650 * 86400.0),
        ("0", None),
        ("0d", None),
        ("off", None),
    ],
)
def test_long_spans_are_written_with_a_unit(text: str, span: float | None) -> None:
    config = given(retention=text, disable_after=text).engine_config("engine-1")
    assert (config.retention, config.disable_after) == (span, span)


def test_by_default_events_are_kept_for_a_month_and_failures_borne_for_five_days() -> None:
    config = given().engine_config("engine-1")
    assert (config.retention, config.disable_after) == (30 * 86400.0, 5 * 86400.0)


@pytest.mark.parametrize(
    ("profile", "text", "in_flight", "per_second"),
    [
        ("production", "auto", 64, 200),
        ("development", "auto", 0, 0),
        ("production", "0", 0, 0),
        ("development", "7", 7, 7),
    ],
)
def test_hosts_and_addresses_are_spared_in_production(
    profile: str, text: str, in_flight: int, per_second: int
) -> None:
    settings = given(profile=profile, host_in_flight=text, host_requests_per_second=text)
    relay = settings.relay_config()
    assert settings.engine_config("engine-1").hosts == (in_flight, per_second)
    assert relay.address_in_flight == in_flight
    assert relay.address_requests_per_second == per_second


def test_payloads_in_flight_take_64_mib_by_default() -> None:
    assert given().engine_config("engine-1").bytes_in_flight == 64 * 1024 * 1024


@pytest.mark.parametrize("lease", [0, 30, 35])
def test_a_lease_that_the_longest_request_outlasts_is_refused(lease: float) -> None:
    with pytest.raises(InvalidSettings, match="WEBHOOKS_LEASE must be more than 35"):
        Settings(lease=lease)
    assert Settings(lease=35.5).engine_config("one").lease == 35.5


def test_several_workers_need_a_database_to_share_and_a_page_each() -> None:
    url = SecretStr("postgresql://h/x")
    assert Settings(workers=256, database_url=url).workers == 256
    for options, problem in (
        ({"workers": 2}, "WEBHOOKS_WORKERS needs PostgreSQL"),
        ({"workers": 257, "database_url": url}, "WEBHOOKS_WORKERS must be at most 256"),
        (
            {"workers": 3, "database_url": url, "ops_listen": "127.0.0.1:65534"},
            "WEBHOOKS_OPS_LISTEN leaves no port for each of 3 workers",
        ),
    ):
        with pytest.raises(InvalidSettings, match=problem):
            given(**options)


def test_the_pages_of_workers_are_one_port_after_the_other() -> None:
    assert [page_of("127.0.0.1:9464", number) for number in (0, 2)] == [
        "127.0.0.1:9464",
        "127.0.0.1:9466",
    ]
    assert page_of("[::1]:0", 3) == "[::1]:0"


def test_the_age_of_connections_is_the_servers() -> None:
    built = Settings(connection_age=10, connection_age_grace=20).server_config(shares_port=True)
    assert (built.connection_age, built.connection_grace, built.shares_port) == (10, 20, True)
    built = Settings().server_config()
    assert (built.connection_age, built.connection_grace, built.shares_port) == (300, 60, False)
