"""Files of a repository of the Hugging Face hub, by its own client."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepforge_hpc.training.errors import TrainingError


def downloaded(source: str, wanted: Sequence[str]) -> Path:
    """Return the folder of `hf://REPO@REV`, named by its commit, from the cache if it is there.

    Raises TrainingError with what to do where there is no network.
    """
    repository, _, revision = source.removeprefix("hf://").partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise TrainingError(
            "init_from: hf:// needs the package huggingface_hub in the job's environment: pip "
            "install huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[*wanted]))
    except Exception as error:  # of the hub, of the network, of the disk
        raise TrainingError(
            f"init_from: {repository} at {revision} is not in the cache of the hub, and cannot be "
            f"fetched from here ({short(error)}). Where there is a network, fetch it once: hf "
            f"download {repository} --revision {revision}; HF_HOME says where it is kept"
        ) from error


def exact(source: str, folder: Path, file: str) -> str:
    """Return where exactly a file came from."""
    repository = source.removeprefix("hf://").partition("@")[0]
    return f"hf://{repository}@{folder.name} ({file})"


def short(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
