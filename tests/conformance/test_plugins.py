"""A package of somebody else: three files and a hundred lines bring a device, a policy, a network and a chip, all found by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

MODULE = '''\
"""Acme's accelerator for cosim: a device kind, a policy, a network and a chip."""

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from cosim.scheduling.base import Policy, plan_from_times, policy
from hw_models.cost import Component, empty_costs
from hw_models.registry import Device, device
from hw_models.specs import Spec
from hw_models.units import Hertz, JoulesPerByte, JoulesPerOp, Seconds, SquareMeters, Watts
from workloads.builder import GraphBuilder
from workloads.optable import is_matmul
from workloads.registry import network

CHIPS = Path(__file__).parent / "acme_soc.yaml"


class AcmeSpec(Spec):
    """A row of multipliers: `width` MACs a cycle at 8 bits."""

    clock_hz: Hertz
    width: PositiveInt
    mac_j_per_op: JoulesPerOp
    buffer_j_per_byte: JoulesPerByte
    launch_s: Seconds
    area_m2: SquareMeters
    leakage_w: Watts


@device("acme_npu")
class AcmeNpu(Device):
    """Matrix products of up to 8 bits, and nothing else."""

    spec_class = AcmeSpec

    @classmethod
    def costs(cls, specs, ops):
        """latency = launch + MACs / (width f); energy = MACs e_mac + bytes e_buffer."""
        parts = (Component("mac", "compute"), Component("buffer", "memory", assumed=True))
        table = empty_costs([parts] * len(specs), ("multipliers",), [()] * len(specs), ops.weight_bits, ops.activation_bits)
        runs = is_matmul(ops) & (np.maximum(ops.weight_bits, ops.activation_bits) <= 8)
        n_bytes = np.stack([ops.weight_bytes, ops.input_bytes, ops.output_bytes], axis=1)
        for s, spec in enumerate(specs):
            table.supported[s] = runs
            table.fixed_s[s, runs] = spec.launch_s
            table.latency_s[s, runs] = spec.launch_s + ops.n_macs[runs] / (spec.width * spec.clock_hz)
            table.energy_j[s, runs, 0] = ops.n_macs[runs] * spec.mac_j_per_op
            table.energy_j[s, runs, 1] = n_bytes[runs].sum(axis=1) * spec.buffer_j_per_byte
            table.n_bytes[s, runs] = n_bytes[runs]
        return table

    @property
    def area_m2(self):
        return self.spec.area_m2

    @property
    def idle_w(self):
        return self.spec.leakage_w

    def peak_macs_per_s(self, weight_bits, activation_bits):
        return self.spec.width * self.spec.clock_hz if max(weight_bits, activation_bits) <= 8 else 0.0


@policy("acme_last")
class AcmeLast(Policy):
    """Each op on the last device that can run it."""

    def plan(self, instance, rng):
        """Place ops in topological order, each after the one before on its device."""
        n, m = instance.n_tasks, instance.n_devices
        assignment = m - 1 - np.argmax(instance.supported[:, ::-1], axis=1)
        start_s, end_s, free_s = np.zeros(n), np.zeros(n), np.zeros(m)
        for task in instance.topological_order.tolist():
            d = assignment[task]
            start_s[task] = max(free_s[d], instance.ready_s(task, assignment, end_s)[d])
            end_s[task] = free_s[d] = start_s[task] + instance.cost_s[task, d]
        return plan_from_times(instance, assignment, start_s, end_s)


@network("acme_net", title="Acme's keyword spotter", paper="Acme white paper 1")
def acme_net(name, batch=1, words=12):
    """One convolution and one layer."""
    build = GraphBuilder(name, batch)
    x = build.conv2d(build.input("audio", batch, 1, 32, 32), 8, 3, act="Relu", name="listen")
    pooled = build.global_pool(x, name="pool").view(batch, 8)
    return build.build(build.linear(pooled, words, name="decide"), dims={"words": words})
'''
CHIP = """\
title: Acme's system on chip
node: 22 nm
devices:
  cpu: {part: cpu/cortex_a55_quad_22nm}
  npu: {kind: acme_npu, clock: 500 MHz, width: 256, mac: 0.2 pJ/MAC, buffer: 1 pJ/B, launch: 1 us, area: 1 mm2, leakage: 1 mW}
memory:
  backing: {part: dram/lpddr4_3200_x32}
links:
  default: {bandwidth: 12.8 GB/s, latency: 1 us, energy: 0.5 pJ/bit}
sources: {devices.npu: "Acme data sheet", node: "Acme data sheet"}
assumed: {links: "an ordinary bus"}
"""
PROJECT = """\
[project]
name = "acme"
version = "1.0"
dependencies = ["cosim"]
[project.entry-points]
"cosim.devices" = {acme = "acme"}
"cosim.policies" = {acme = "acme"}
"cosim.workloads" = {acme = "acme"}
"cosim.chips" = {acme = "acme:CHIPS"}
"""
FILES = {"acme.py": MODULE, "acme_soc.yaml": CHIP, "pyproject.toml": PROJECT}


def install(site: Path, files: dict[str, str]) -> Path:
    """Do what an installer does: put the files in a folder, and the entry points of the project beside them."""
    site.mkdir()
    for name, text in files.items():
        (site / name).write_text(text)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = site / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    sections = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in project["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(sections))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    return site


def python(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the folder on its path, from an empty folder."""
    (site.parent / "work").mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, check=False, env=environment, cwd=site.parent / "work", timeout=120
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(tmp_path_factory.mktemp("plugin") / "site", FILES)


def test_a_plugin_is_three_files_and_a_hundred_and_fifty_lines():
    assert len(FILES) <= 3
    assert sum(len(text.splitlines()) for text in FILES.values()) <= 150


def test_its_chip_network_policy_and_device_are_found_by_name(site):
    done = python(site, "-m", "cosim", "run", "acme_net", "--chip", "acme_soc", "--policy", "acme_last", "--dim", "words=20", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["chip"], data["workload"], data["policy"]) == ("acme_soc", "acme_net", "acme_last")
    assert data["dims"]["words"] == 20
    # 30 x 30 pixels of 9 taps and 8 channels, then 8 x 20
    assert data["macs"] == 30 * 30 * 9 * 8 + 160
    assert {row["op"]: row["device"] for row in data["binding"]} == {"listen": "npu", "pool": "cpu", "decide": "npu"}
    assert data["energy_by_component_j"]["npu.mac"] == pytest.approx(data["macs"] * 0.2e-12)
    assert data["provenance"]["workload_source"] == "Acme white paper 1"


def test_its_device_kind_may_stand_in_anybodys_chip(site):
    mine = site.parent / "mine.yaml"
    mine.write_text("base: acme_soc\ndevices: {npu: {width: 512}}\nsources: {devices.npu.width: a wish}\n")
    done = python(site, "-m", "cosim", "check", str(mine))
    assert done.returncode == 0, done.stderr
    assert "ok: chip of 2 devices" in done.stdout
    mine.write_text("base: acme_soc\ndevices: {npu: {widht: 512}}\n")
    done = python(site, "-m", "cosim", "check", str(mine))
    assert done.returncode == 2
    assert "mine.yaml:2: devices.npu.widht: unknown key; did you mean 'width'?" in done.stderr


def test_its_parts_are_listed_and_obey_the_laws(site):
    code = """
from cosim.scheduling.base import make_policy, policy_classes
from cosim.testing import check_chip, check_device, check_policy, check_workload
from hw_models.catalog import list_chips, load_chip
from hw_models.registry import device_kinds
from workloads.registry import list_networks, load_workload
assert "acme_npu" in device_kinds() and "acme_soc" in list_chips()
assert "acme_net" in list_networks() and "acme_last" in policy_classes()
chip = load_chip("acme_soc")
check_device(device_kinds()["acme_npu"], chip.devices["npu"].spec)
check_policy(make_policy("acme_last"))
check_workload(load_workload("acme_net", batch=3))
check_chip(chip)
"""
    done = python(site, "-c", code)
    assert done.returncode == 0, done.stderr


BROKEN = {
    "devices": ("cosim.devices", "entry point 'acme' of group cosim.devices (nowhere) cannot be loaded: No module named 'nowhere'"),
    "policies": ("cosim.policies", "entry point 'acme' of group cosim.policies (nowhere) cannot be loaded"),
    "workloads": ("cosim.workloads", "entry point 'acme' of group cosim.workloads (nowhere) cannot be loaded"),
    "chips": ("cosim.chips", "entry point 'acme' of group cosim.chips (nowhere) cannot be loaded"),
}


@pytest.mark.parametrize(("group", "message"), BROKEN.values(), ids=BROKEN)
def test_one_that_cannot_be_loaded_is_named_without_a_traceback(tmp_path, group, message):
    project = f'[project]\nname = "acme"\nversion = "1.0"\n[project.entry-points]\n"{group}" = {{acme = "nowhere"}}\n'
    site = install(tmp_path / "site", {"pyproject.toml": project})
    done = python(site, "-m", "cosim", "run", "lenet5", "--chip", "cortex_m7_mcu", "--json")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


TAKEN = {
    "device": (
        "from hw_models.registry import Device, device\n@device('cpu')\nclass Mine(Device): pass\n",
        "cosim.devices",
        "device kind 'cpu'",
    ),
    "policy": (
        "from cosim.scheduling.base import Policy, policy\n@policy('heft')\nclass Mine(Policy): pass\n",
        "cosim.policies",
        "policy 'heft'",
    ),
    "network": (
        "from workloads.registry import network\n@network('lenet5', title='', paper='')\ndef mine(name, batch=1): pass\n",
        "cosim.workloads",
        "network 'lenet5'",
    ),
}


@pytest.mark.parametrize(("text", "group", "what"), TAKEN.values(), ids=TAKEN)
def test_a_name_that_is_taken_is_refused_and_not_replaced(tmp_path, text, group, what):
    project = f'[project]\nname = "acme"\nversion = "1.0"\n[project.entry-points]\n"{group}" = {{acme = "mine"}}\n'
    site = install(tmp_path / "site", {"pyproject.toml": project, "mine.py": text})
    done = python(site, "-m", "cosim", "run", "lenet5", "--chip", "cortex_m7_mcu", "--json")
    assert done.returncode == 2
    assert f"{what} is registered twice" in done.stderr
    assert "Traceback" not in done.stderr
