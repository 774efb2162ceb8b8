"""Where values come from: options, then the environment, then the defaults."""

import difflib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from webhooks_server.domain.errors import InvalidSettings

PREFIX = "WEBHOOKS_"
Source = Literal["default", "environment", "option"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One setting as it holds: its variable, its value as text, and where that came from."""

    variable: str
    value: str
    source: Source


class Environment(BaseSettings):
    """Values from options, then from the environment, then the defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    known: ClassVar[set[str]] = set()
    """All settings that there are, of whatever command."""

    _options: frozenset[str] = PrivateAttr(default=frozenset())

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Take note of the settings of one more command."""
        cls.known.update(cls.model_fields)

    def __init__(self, **options: object) -> None:
        """Take what was given as options; raises InvalidSettings, which names what is wrong."""
        _refuse_unknown_variables()
        try:
            super().__init__(**cast("dict[str, Any]", options))
        except ValidationError as error:
            raise InvalidSettings("; ".join(_problems(error, frozenset(options)))) from None
        self._options = frozenset(options)

    def effective(self) -> Iterator[Effective]:
        """Yield every setting as it holds; a secret shows as asterisks."""
        for field in type(self).model_fields:
            yield Effective(
                variable=variable(field), value=self._text(field), source=self.source(field)
            )

    def chosen(self) -> str:
        """Return those that are not defaults as `name=value …`, each value quoted where needed."""
        return " ".join(
            f"{one.variable}={shlex.quote(one.value)}"
            for one in self.effective()
            if one.source != "default"
        )

    def source(self, field: str) -> Source:
        """Tell where a setting's value comes from."""
        if field in self._options:
            return "option"
        return "environment" if field in self.model_fields_set else "default"

    def _text(self, field: str) -> str:
        value = getattr(self, field)
        return str(value).lower() if isinstance(value, bool) else str(value)


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + field.upper()


def option(field: str) -> str:
    """Return the command line option of a setting."""
    return "--" + field.replace("_", "-")


def _refuse_unknown_variables() -> None:
    known = [variable(field) for field in sorted(Environment.known)]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise InvalidSettings(f"{name} is not a setting; did you mean {near[0]}?")


def _problems(error: ValidationError, options: frozenset[str]) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        text = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not problem["loc"]:
            yield text
            continue
        field = str(problem["loc"][0])
        named = option(field) if field in options else variable(field)
        yield f"{named} must be {text.removeprefix('must be ')}"
