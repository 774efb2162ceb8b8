"""Puts the generated package `webhooks` into the wheel and the source archive."""

from pathlib import Path

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GeneratedCode(BuildHookInterface[BuilderConfig]):
    """Finds the generated code where it is: in the repository, or beside this in an archive."""

    def initialize(self, version: str, build_data: dict[str, dict[str, str]]) -> None:
        """Add it, except to an editable install, which has the folder itself on its path."""
        if version == "editable":
            return
        archived = Path(self.root, "webhooks")
        generated = Path(self.root, "..", "..", "generated", "python", "webhooks")
        source = archived if archived.is_dir() else generated.resolve(strict=True)
        build_data["force_include"][str(source)] = "webhooks"
