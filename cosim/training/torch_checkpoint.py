"""Where a training run stands, on disk: tensors only, with the configuration beside them.

Imported inside functions only, so that everything else works without torch. Files are read with `weights_only`: none of them can run
code.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cosim.files import write_file
from cosim.training.torch_fit import Progress
from workloads.errors import StoreError


def save(path: Path, progress: Progress, config: Mapping[str, Any]) -> None:
    """Write both files whole or not at all, the configuration first; StoreError where they cannot be written."""
    write_file(path.with_suffix(".json"), json.dumps(config, indent=1, sort_keys=True).encode())
    data = io.BytesIO()
    torch.save({"epoch": progress.epoch, "net": progress.net, "optimizer": progress.optimizer}, data)
    write_file(path, data.getvalue())


def load(path: Path, config: Mapping[str, Any]) -> Progress | None:
    """Where the run stood, None where there is no file.

    Raises StoreError where the file is none of ours, or was made with another configuration: each key that differs is named.
    """
    if not path.exists():
        return None
    _compare(path, config)
    try:
        data = torch.load(path, weights_only=True, map_location="cpu")
        return Progress(int(data["epoch"]), dict(data["net"]), dict(data["optimizer"]))
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path}: is no checkpoint of cosim ({why}); remove it, or start without --resume") from None


def _compare(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another run."""
    beside = path.with_suffix(".json")
    try:
        stored = dict(json.loads(beside.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{beside}: the configuration of {path.name} cannot be read ({error}); start without --resume") from None
    given = json.loads(json.dumps(config))
    for key in sorted({*stored, *given}):
        if stored.get(key) != given.get(key):
            raise StoreError(
                f"{path}: was trained with {key} = {stored.get(key)!r}, now asked for is {given.get(key)!r}; give what it was made with, "
                "another --out, or start without --resume"
            )
