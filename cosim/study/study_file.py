"""Study files: read, check, and point at the line that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from cosim.study.levels import read_levels
from cosim.study.objectives import COMBINE, Bound, Objective, read_bound, read_objective
from cosim.study.paths import ChipFields, folder_of, is_run_field, part_names
from cosim.study.rules import Active, Table, checked, condition
from cosim.study.space import Axis, Kind, Level, Rule, Space
from cosim.study.spec import AccuracySettings, Design, Study, StudyWorkload
from hw_models.yaml_file import Document, read_yaml
from workloads.errors import CosimError, SpecError, suggest

STUDIES_DIR = Path(__file__).parent / "studies"
METHODS = ("grid", "random", "lhs", "sobol")
FIDELITIES = ("bound", "mapped", "event")
_KEYS = (
    "name", "title", "chip", "chips", "workload", "workloads", "combine", "weight_bits", "activation_bits", "policy", "fidelity",
    "fidelities", "accuracy", "axes", "constraints", "objectives", "bounds", "design", "designs", "batch", "replicates", "seed",
)  # fmt: skip
_AXIS_KEYS = ("levels", "from", "to", "step", "count", "log", "times", "path", "paths", "kind", "when")


@cache
def list_studies() -> Mapping[str, Path]:
    """Shipped studies by name."""
    return {path.stem: path for path in sorted(STUDIES_DIR.glob("*.yaml"))}


def load_study(source: str | Path) -> Study:
    """Load a study by name or path; raises SpecError with file, line, key and way out."""
    path = list_studies().get(str(source), Path(source))
    if not path.is_file():
        raise SpecError(f"study {str(source)!r} is neither shipped nor a YAML file; {suggest(str(source), list_studies())}")
    return _Reader(read_yaml(path), path).study()


class _Reader:
    """Turns one document into a study."""

    def __init__(self, document: Document, path: Path) -> None:
        self.document, self.path, self.data = document, path, document.data
        self.fields: dict[str, ChipFields] = {}

    @contextmanager
    def at(self, key: str) -> Iterator[None]:
        """Put file, line and key in front of an error."""
        try:
            yield
        except CosimError as error:
            raise type(error)(f"{self.document.place(key)}: {key}: {error}") from None

    def study(self) -> Study:
        """Read everything; the first mistake is raised."""
        self.only(self.data, _KEYS, "")
        chips = self.chips()
        self.fields = {chip: ChipFields(chip) for chip in chips}
        with self.at("chips" if "chips" in self.data else "chip"):
            for fields in self.fields.values():
                _ = fields.data  # a chip that cannot be read is told here, not as a field that it lacks
        workloads = self.workloads()
        axes, rules = self.axes(chips)
        conditions, known, fits = self.constraints(axes)
        bounds = tuple(self.bounds("bounds", self.data))
        with self.at("constraints" if "constraints" in self.data else "axes"):
            space = checked(Space(axes, (*rules, *conditions)))
        study = Study(
            name=str(self.data.get("name", self.path.stem)),
            text=self.path.read_text(encoding="utf-8"),
            space=space,
            chips=chips,
            workloads=workloads,
            objectives=self.objectives(),
            bounds=tuple(bound for bound in bounds if not bound.metric.per_chip),
            known=(*known, *(bound for bound in bounds if bound.metric.per_chip)),
            fits=fits,
            path=self.path,
            **self.plain(),
        )
        return replace(study, designs=self.designs(study))

    def only(self, data: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
        """Refuse keys that are not known."""
        for key in data:
            if key not in known:
                full = f"{prefix}{key}"
                raise SpecError(f"{self.document.place(full)}: {full}: unknown key; {suggest(key, known)}")

    def chips(self) -> tuple[str, ...]:
        """Chips by name or path; a path is looked for beside the study."""
        given = self.data.get("chips", self.data.get("chip"))
        if given is None:
            raise SpecError(f"{self.document.place('')}: chip: this key is required; name a chip of the catalog or a YAML file")
        names = [str(one) for one in (given if isinstance(given, list) else [given])]
        return tuple(str(beside) if (beside := self.path.parent / name).is_file() else name for name in names)

    def workloads(self) -> tuple[StudyWorkload, ...]:
        """Networks with their weights."""
        given = self.data.get("workloads", self.data.get("workload"))
        if not given:
            raise SpecError(f"{self.document.place('')}: workloads: this key is required; name a network, or a list of {{name, weight}}")
        entries = given if isinstance(given, list) else [given]
        found = [self.workload(one if isinstance(one, dict) else {"name": str(one)}) for one in entries]
        names = [one.name for one in found]
        for name in names:
            if names.count(name) > 1:
                raise SpecError(
                    f"{self.document.place('workloads')}: workloads: {name!r} is named twice; give each a name of its own (name, source)"
                )
        return tuple(found)

    def workload(self, given: Mapping[str, Any]) -> StudyWorkload:
        """One entry of the list."""
        with self.at("workloads"):
            for key in given:
                if key not in {"name", "source", "weight", "batch", "dims", "bounds"}:
                    raise SpecError(f"unknown key {key!r}; {suggest(key, ('name', 'source', 'weight', 'batch', 'dims', 'bounds'))}")
            if "name" not in given:
                raise SpecError("a network has no name; write {name: resnet18, weight: 1}")
            weight = _number(given.get("weight", 1.0), "weight", above=0.0)
            source = str(given.get("source", given["name"]))
            beside = self.path.parent / source
            return StudyWorkload(
                str(given["name"]),
                str(beside) if beside.is_file() else source,
                weight,
                None if "batch" not in given else _whole(given["batch"], "batch"),
                {str(key): _whole(value, str(key), least=0) for key, value in (given.get("dims") or {}).items()},
                tuple(read_bound(text) for text in given.get("bounds", ())),
            )

    def axes(self, chips: tuple[str, ...]) -> tuple[tuple[Axis, ...], list[Rule]]:
        """Axes in the order of the file, the choice of a chip first, and the rules that say when one is active."""
        given = self.data.get("axes") or {}
        if not isinstance(given, dict):
            raise SpecError(f"{self.document.place('axes')}: axes: a mapping of fields to levels is expected, not {type(given).__name__}")
        axes = [Axis("chip", "categorical", tuple(chips), ("chip",))] if len(chips) > 1 else []
        read = [(name, *self.axis(name, value, chips)) for name, value in given.items()]
        axes += [axis for _, axis, _ in read]
        if not axes:
            raise SpecError(f"{self.document.place('axes')}: axes: nothing varies; name a field and its levels, such as cim.adc.bits: 4..8")
        rules: list[Rule] = []
        for name, axis, when in read:
            with self.at(f"axes.{name}"):
                if when:
                    rules.append(Active(axes.index(axis), name, axis.levels, tuple(self._table(one, axes) for one in when)))
        return tuple(axes), rules

    def _table(self, when: str | frozenset[str], axes: Sequence[Axis]) -> Table:
        """When an axis is active: a condition of the file, or the chips that have its field."""
        if isinstance(when, str):
            return condition(when, axes, inactive=False)
        return Table(f"chip is {' or '.join(sorted(when))}", (0,), np.array([level in when for level in axes[0].levels]))

    def axis(self, name: str, value: Any, chips: tuple[str, ...]) -> tuple[Axis, list[str | frozenset[str]]]:
        """One axis, and when it is active (nothing: always)."""
        with self.at(f"axes.{name}"):
            given = value if isinstance(value, dict) else {"levels": value}
            self.only(given, _AXIS_KEYS, f"axes.{name}.")
            span = {key: given[key] for key in ("from", "to", "step", "count", "log", "times") if key in given}
            if ("levels" in given) == bool(span):
                raise SpecError("give levels, or from and to")
            levels, kind = read_levels(given.get("levels", span))
            asked = given.get("paths", given.get("path", name))
            paths, on = self.paths([str(one) for one in (asked if isinstance(asked, list) else [asked])], chips)
            if all(path.endswith(".part") or path == "part" for path in paths):
                levels = part_names(levels, folder_of(self.fields[next(iter(on))], paths[0]))
            when: list[str | frozenset[str]] = [str(given["when"])] if "when" in given else []
            when += [on] if on != frozenset(chips) else []
            if when and None not in levels:
                levels, kind = (None, *levels), "categorical"
            return Axis(name, _kind(given.get("kind", kind)), levels, paths), when

    def paths(self, asked: list[str], chips: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
        """Canonical paths of an axis, and the chips that have them."""
        found: dict[str, None] = {}
        on: set[str] = set()
        failures: list[CosimError] = []
        for chip in chips:
            try:
                for path in asked:
                    found.update(dict.fromkeys((path,) if is_run_field(path) else self.fields[chip].found(path)))
                on.add(chip)
            except SpecError as error:
                failures.append(error)
        if not on:
            raise next((one for one in failures if "did you mean" in str(one)), failures[0])
        return tuple(found), frozenset(on)

    def constraints(self, axes: Sequence[Axis]) -> tuple[list[Rule], tuple[Bound, ...], bool]:
        """Conditions over levels, bounds that are known without a run, and whether all has to fit."""
        given = self.data.get("constraints") or []
        rules: list[Rule] = []
        known: list[Bound] = []
        fits = False
        with self.at("constraints"):
            for text in given if isinstance(given, list) else [given]:
                word = str(text).split()[0] if str(text).split() else ""
                if str(text).strip() == "fits":
                    fits = True
                elif word == "area" and not any(axis.name == "area" for axis in axes):
                    known.append(read_bound(str(text)))
                else:
                    rules.append(condition(str(text), axes))
        return rules, tuple(known), fits

    def bounds(self, key: str, data: Mapping[str, Any]) -> Iterator[Bound]:
        """Bounds on what a run measures."""
        given = data.get(key) or []
        for text in given if isinstance(given, list) else [given]:
            with self.at(key):
                yield read_bound(str(text))

    def objectives(self) -> tuple[Objective, ...]:
        """What is wanted; energy and latency where the file does not say."""
        given = self.data.get("objectives") or ["energy", "latency"]
        with self.at("objectives"):
            return tuple(read_objective(str(one)) for one in (given if isinstance(given, list) else [given]))

    def plain(self) -> dict[str, Any]:
        """Fields that are numbers or words."""
        one = self.one
        return {
            "combine": one("combine", "geomean", lambda text: _among(text, COMBINE)),
            "weight_bits": one("weight_bits", 8, lambda n: _whole(n, "bits")),
            "activation_bits": one("activation_bits", 8, lambda n: _whole(n, "bits")),
            "policy": one("policy", "heft", str),
            "fidelity": one("fidelity", "event", lambda text: _among(text, FIDELITIES)),
            "ladder": one("fidelities", {}, _ladder),
            "accuracy": one("accuracy", None, _accuracy),
            "design": one("design", Design(), _design),
            "batch": one("batch", 4, lambda n: _whole(n, "batch")),
            "replicates": one("replicates", 1, lambda n: _whole(n, "replicates")),
            "seed": one("seed", 0, lambda n: _whole(n, "seed", least=0)),
        }

    def one(self, key: str, default: Any, read: Callable[[Any], Any]) -> Any:
        """Read one key, or take its default."""
        if key not in self.data:
            return default
        with self.at(key):
            return read(self.data[key])

    def designs(self, study: Study) -> tuple[Mapping[str, Level], ...]:
        """The user's own points: every axis named, each keeping to the constraints."""
        given = self.data.get("designs") or []
        with self.at("designs"):
            codes = study.space.encode(given)
            for row, good in zip(given, study.space.feasible(codes), strict=True):
                if not good:
                    raise SpecError(f"design {dict(row)} does not keep to the constraints")
            return tuple(study.space.decode(codes)) if len(codes) else ()


def _number(given: Any, name: str, above: float = -np.inf) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not above < given < np.inf:
        raise SpecError(f"{name} {given!r} is out of range; give a number above {above:g}")
    return float(given)


def _whole(given: Any, name: str, least: int = 1) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise SpecError(f"{name} {given!r} is out of range; give a whole number of {least} or more")
    return given


def _among(given: Any, known: Sequence[str]) -> str:
    if given not in known:
        raise SpecError(f"{given!r} is not known; {suggest(str(given), known)}")
    return str(given)


def _kind(given: Any) -> Kind:
    return cast("Kind", _among(given, ("categorical", "ordinal")))


def _ladder(given: Any) -> dict[str, float]:
    """Fidelities with what each costs, cheapest first: costs are numbers of the study, never measured."""
    if not isinstance(given, dict) or not given:
        raise SpecError("give fidelities with their costs, such as {bound: 0.05, event: 1}")
    found = {_among(name, FIDELITIES): _number(cost, f"cost of {name}", above=0.0) for name, cost in given.items()}
    if list(found.values()) != sorted(found.values()):
        raise SpecError(f"costs {list(found.values())} do not rise; write the cheapest fidelity first")
    return found


def _accuracy(given: Any) -> AccuracySettings:
    known = ("data", "path", "seeds", "passes", "inputs")
    settings = given if isinstance(given, dict) else {"data": given}
    for key in settings:
        if key not in known:
            raise SpecError(f"unknown key {key!r}; {suggest(key, known)}")
    if "data" not in settings:
        raise SpecError("name a data set, such as {data: digits8x8}")
    seeds = settings.get("seeds", [0])
    return AccuracySettings(
        data=str(settings["data"]),
        path=_among(settings.get("path", "surrogate"), ("surrogate", "exact")),
        seeds=tuple(_whole(seed, "seed", least=0) for seed in (seeds if isinstance(seeds, list) else range(int(seeds)))),
        passes=_whole(settings.get("passes", 1), "passes"),
        n_inputs=None if "inputs" not in settings else _whole(settings["inputs"], "inputs"),
    )


def _design(given: Any) -> Design:
    settings = given if isinstance(given, dict) else {"method": given}
    for key in settings:
        if key not in {"method", "n"}:
            raise SpecError(f"unknown key {key!r}; {suggest(key, ('method', 'n'))}")
    design = Design(_among(settings.get("method", "grid"), METHODS), None if "n" not in settings else _whole(settings["n"], "n"))
    if design.method != "grid" and design.n is None:
        raise SpecError(f"{design.method} needs a number of points; write {{method: {design.method}, n: 1000}}")
    return design
