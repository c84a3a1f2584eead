"""One order decides on site, account and executions, whoever asks: a pipeline's load, or doctor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.api.pipelines import Request, load
from deepforge_hpc.api.target import target_of
from deepforge_hpc.errors import InvalidInputError

PIPELINE = "pipeline: p\n{executions}operations:\n  a: {{uses: 'a.py:A'}}\n"
OPERATION = "class A:\n    def execute(self) -> None:\n        pass\n"
SITE = "site: {name}\nscheduler: slurm\naccount: {{{account}env: PAYS}}\n{executions}"

# Of each setting the layers that may say it, the strongest first: layer -> origin.
ORDER = {
    "site": {
        "option": None,
        "variable": None,
        "user": None,
        "default": None,
    },
    "account": {
        "option": "--account",
        "variable": "DEEPFORGE_HPC_ACCOUNT",
        "near site": "site mine (project):3",
        "user": "settings of the user",
        "far site": "site mine (user):3",
        "site's variable": "PAYS",
        "nobody": "",
    },
    "executions": {
        "variable": "DEEPFORGE_HPC_EXECUTIONS",
        "pipeline": "pipeline.yaml:2",
        "near site": "site mine (project):4",
        "user": "settings of the user",
        "far site": "site mine (user):4",
        "default": "default",
    },
}
CASES = [
    (setting, frozenset(list(layers)[index:]), layer, origin)
    for setting, layers in ORDER.items()
    for index, (layer, origin) in enumerate(layers.items())
]


class Place:
    """A project, a user's folder and an environment in which chosen layers say something."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.user = root / "project", root / "config/deepforge-hpc"
        self.monkeypatch = monkeypatch
        for name in [name for name in os.environ if name.startswith("DEEPFORGE_HPC_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "config"))
        self._write(self.project / "dfh.yaml", "")
        self._write(self.project / "sub/a.py", OPERATION)
        for name in ("option", "variable", "user"):
            self._write(self.user / f"sites/of-{name}.yaml", f"site: of-{name}\nscheduler: slurm\n")

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def say(self, setting: str, layers: frozenset[str]) -> Request:
        """Let each layer name `of-LAYER`, and return a request."""

        def value(layer: str) -> str:
            return f"of-{layer.replace(' ', '-')}"

        for where, layer in (
            (self.project / "site-configs", "near site"),
            (self.user / "sites", "far site"),
        ):
            own = value(layer) if layer in layers else ""
            text = SITE.format(
                name="mine",
                account=f"value: {own}, " if own and setting == "account" else "",
                executions=f"executions: {own}\n" if own and setting == "executions" else "",
            )
            if layer == "far site" or layer in layers:
                self._write(where / "mine.yaml", text)
        self._write(
            self.user / "settings.yaml",
            f"{setting}: {value('user')}\n" if "user" in layers else "dfh: 1\n",
        )
        if "variable" in layers:
            self.monkeypatch.setenv(f"DEEPFORGE_HPC_{setting.upper()}", value("variable"))
        if "site's variable" in layers:
            self.monkeypatch.setenv("PAYS", value("site's variable"))
        own = f"executions: {value('pipeline')}\n" if "pipeline" in layers else ""
        self._write(self.project / "sub/pipeline.yaml", PIPELINE.format(executions=own))
        options = {setting: value("option")} if "option" in layers else {}
        if setting != "site":
            options["site"] = "mine"
        return Request(pipeline=self.project / "sub/pipeline.yaml", **options)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


@pytest.mark.parametrize(("setting", "layers", "winner", "origin"), CASES)
def test_the_first_layer_that_says_something_decides(
    place: Place, setting: str, layers: frozenset[str], winner: str, origin: str | None
) -> None:
    request = place.say(setting, layers)
    loaded = load(request)
    assert loaded.site is not None
    name = f"of-{winner.replace(' ', '-')}"
    expected = {
        "of-default": {"site": "local", "executions": "executions"}.get(setting),
        "of-nobody": "",
    }
    value = expected.get(name, name)
    if setting == "site":
        assert loaded.site.name == value
    elif setting == "account":
        assert (loaded.account, loaded.account_origin) == (value, origin)
    else:
        base = place.project / "sub" if winner == "pipeline" else place.project
        assert loaded.executions == base / str(value)
        assert loaded.executions_origin.removeprefix(f"{place.project}/sub/") == origin
    # `dfh doctor` without a pipeline asks the same layers, less the pipeline file.
    if "pipeline" not in layers:
        target = target_of(
            Request(
                pipeline=place.project / "none.yaml", site=request.site, account=request.account
            ),
            place.project,
        )
        assert target.site.name == loaded.site.name
        assert (target.account, target.executions) == (loaded.account, loaded.executions)


def test_what_a_variable_of_the_site_holds_is_checked(place: Place) -> None:
    request = place.say("account", frozenset({"site's variable"}))
    place.monkeypatch.setenv("PAYS", "a\nb")
    with pytest.raises(InvalidInputError, match=r"\$PAYS: .* in 'a\\nb'"):
        load(request)
