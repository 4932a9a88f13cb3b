"""cosim: describe a chip and a network, get latency, energy and area, with what each number rests on.

>>> import cosim
>>> chip = cosim.load_chip("edge_cim_soc")
>>> net = cosim.load_workload("resnet50", batch=1)
>>> result = cosim.Simulation(chip, net).run()
>>> result.ledger.groupby("component")["energy_j"].sum()
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cosim.simulation.result import Result
    from cosim.simulation.run import Simulation
    from hw_models.catalog import list_chips, load_chip
    from workloads.errors import CosimError
    from workloads.registry import list_networks, load_workload

__all__ = ["CosimError", "Result", "Simulation", "list_chips", "list_networks", "load_chip", "load_workload"]

_HOME = {
    "CosimError": "workloads.errors",
    "Result": "cosim.simulation.result",
    "Simulation": "cosim.simulation.run",
    "list_chips": "hw_models.catalog",
    "list_networks": "workloads.registry",
    "load_chip": "hw_models.catalog",
    "load_workload": "workloads.registry",
}


def _refuse_intruders() -> None:
    """Raise ImportError when a sibling package name is taken by another folder on the path."""
    home = Path(__file__).resolve().parent.parent
    for name in ("workloads", "hw_models", "reports"):
        spec = None if name in sys.modules else find_spec(name)
        places = list(getattr(sys.modules.get(name), "__path__", [])) if spec is None else list(spec.submodule_search_locations or [])
        file = spec.origin if spec else getattr(sys.modules.get(name), "__file__", None)
        found = Path(places[0]).resolve() if places else Path(str(file or "a module without a file"))
        if found.parent != home:
            raise ImportError(
                f"cosim needs its own package {name!r} but {found} stands before it on the path; rename that folder "
                f"or start Python with -P (or from another folder) so that it is not found first"
            )


_refuse_intruders()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that `import cosim` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'cosim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
