"""Who decides on the site, the account and the folder of executions: one order for all of them.

1. the command line: `--site`, `--account`
2. the environment: `DEEPFORGE_HPC_SITE`, `_ACCOUNT`, `_EXECUTIONS`
3. the pipeline file: `executions`
4. the site file, if it is the project's own or was given by its path
5. the user's `settings.yaml`
6. the site file from anywhere else
7. for the account: the variable that the site's `account.env` names
8. the default: site `local`, folder `executions`

The first that says anything decides. In which folders site files lie: `site.find.site_folders`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.files.project import absolute
from deepforge_hpc.paths import EXECUTIONS
from deepforge_hpc.pipeline.settings import PREFIX, UserSettings

if TYPE_CHECKING:
    from deepforge_hpc.site.find import FoundSite

DEFAULT_SITE = "local"


class Chosen(NamedTuple):
    """A value, and who said it; both empty if nobody said anything."""

    value: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """All who may say something."""

    options: Mapping[str, str | None] = field(default_factory=dict)
    """Of the command line, by name without dashes."""
    environ: Mapping[str, str] = field(default_factory=dict)
    pipeline: Mapping[str, Chosen] = field(default_factory=dict)
    user: UserSettings = field(default_factory=UserSettings)
    site: FoundSite | None = None

    def site_name(self, *, default: str = DEFAULT_SITE) -> Chosen:
        """Return which site is meant."""
        return self._first("site", default)

    def account(self) -> Chosen:
        """Return which account pays."""
        return self._first("account")

    def executions(self, project: Path, pipeline_folder: Path) -> tuple[Path, str]:
        """Return the folder of executions, and who chose it.

        What the pipeline file says starts at that file, all else at the project.
        """
        value, origin = self._first("executions", EXECUTIONS)
        own = self.pipeline.get("executions")
        base = pipeline_folder if own is not None and own == (value, origin) else project
        return Path(absolute(value, base)), origin

    def _first(self, name: str, default: str = "") -> Chosen:
        return next((one for one in self._said(name, default) if one.value), Chosen())

    def _said(self, name: str, default: str) -> Iterator[Chosen]:
        yield Chosen(self.options.get(name) or "", f"--{name}")
        yield self._variable(f"{PREFIX}{name.upper()}")
        yield self.pipeline.get(name, Chosen())
        of_site = self._of_site(name)
        if self.site is not None and self.site.is_near:
            yield of_site
        yield Chosen(getattr(self.user, name), "settings of the user")
        yield of_site
        if self.site is not None and name == "account":
            yield self._variable(self.site.spec.account.env)
        yield Chosen(default, "default")

    def _of_site(self, name: str) -> Chosen:
        if self.site is None or name == "site":
            return Chosen()
        if name == "account":
            return Chosen(self.site.spec.account.value, self.site.origin("account", "value"))
        return Chosen(self.site.spec.executions, self.site.origin("executions"))

    def _variable(self, name: str) -> Chosen:
        return Chosen(self.environ.get(name, ""), name)
