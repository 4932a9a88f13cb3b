"""Energy and time of one column pass of a compute-in-memory array: a row of inputs and a set of constants in, components out.

A column pass multiplies `n` inputs of `b_in` bits with `n` weights of `b_w` bits that share a column: n b_in b_w one-bit products.
"""

from __future__ import annotations

from math import log2

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]

# Columns of an input row. Nodes in units of 28 nm; times in s; kinds, domains, families, ADC types and scopes as coded below.
KIND, NODE, SUPPLY, N, BITS_IN, BITS_W, ADC_BITS, ADC_TYPE, DOMAIN, CAPACITOR, FAMILY, SCOPE, ROWS, TURNS, LATENCY = range(15)
N_INPUTS = 15
SRAM, ENVM, DIGITAL = range(3)
CHARGE, BITLINE, CURRENT, TEMPORAL, VOLTAGE, TREE, SERIAL = range(7)
RERAM, PCM, MRAM, FLASH_CELL, NO_FAMILY = range(5)
ANY_ADC, FLASH, SAR, RAMP, SENSE_AMP = range(5)
ARRAY_ADC, MACRO, CHIP = range(3)
# Components of energy of a column pass, J.
DRIVER, CELL, LINE, ADC, LOGIC, STATIC, SCOPE_REST = range(7)
N_COMPONENTS = 7
# Constants, in the order of the part file; energies in J at 28 nm and 1 V, exponents and shares without unit.
(
    S_NODE_CELL, S_NODE_PERIPHERY, S_SUPPLY, S_CHARGE, S_BITLINE, S_CURRENT, S_CAPACITOR, S_LINE, S_LEVELS, S_BITS_W,
    S_ADC_BIT, S_ADC_LEVEL, S_FIXED, S_STATIC,
    E_NODE_CELL, E_NODE_PERIPHERY, E_SUPPLY, E_CURRENT, E_BITS_IN, E_BITS_W, E_PCM, E_MRAM, E_FLASH, E_VOLTAGE,
    E_ADC_BIT, E_ADC_LEVEL, E_FIXED,
    D_NODE, D_SUPPLY, D_ADDER, D_PRODUCT, D_SUM, D_SERIAL,
    SCOPE_CHIP, SCOPE_ARRAY, D_CHIP, ADC_UNIT_CAP, FIXED_BITS,
    T_NODE, T_SUPPLY, T_ACCESS, T_LEVELS, T_N, T_ADC, T_CHARGE, T_ENVM, T_DIGITAL,
) = range(47)  # fmt: skip
N_CONSTANTS = 47


@kernel
def adc_units(kind: int, bits: float, bit_j: float, level_j: float, cap_j: float) -> float:
    """Energy of a conversion at 28 nm and 1 V.

    Flash a (2^b - 1), SAR a b + c 4^b, ramp a + l (2^b - 1), sense amp a a decision; not told: a b + l (2^b - 1).
    """
    levels = 2.0**bits - 1.0
    if kind == FLASH:
        return float(bit_j * levels)
    if kind == SAR:
        return float(bit_j * bits + cap_j * 4.0**bits)
    if kind == RAMP:
        return float(bit_j + level_j * levels)
    if kind == SENSE_AMP:
        return float(bit_j * max(1.0, levels))
    return float(bit_j * bits + level_j * levels)


@kernel
def pass_s(x: Floats, c: Floats) -> float:
    """Time of a pass: s V^-q t_access (n / 64)^p (1 + l (2^b_in - 2)) b^r, s = (node / 28 nm)^m; digital: a cycle for each input bit.

    Longer sums have longer lines and finer steps to settle to; an ADC decides bit by bit.
    """
    scale = x[NODE] ** c[T_NODE] * x[SUPPLY] ** -c[T_SUPPLY]
    kind = int(x[KIND])
    if kind == DIGITAL:
        return float(scale * c[T_DIGITAL] * x[BITS_IN])
    levels = 1.0 + c[T_LEVELS] * (2.0 ** min(x[BITS_IN], 8.0) - 2.0)
    time_s = scale * c[T_ACCESS] * (x[N] / 64.0) ** c[T_N] * levels * max(x[ADC_BITS], 1.0) ** c[T_ADC]
    if kind == ENVM:
        return float(time_s * c[T_ENVM])
    return float(time_s * c[T_CHARGE] if int(x[DOMAIN]) == CHARGE else time_s)


@kernel
def sram_pass(x: Floats, c: Floats, out: Floats) -> None:
    """Analog SRAM: cells n k V^v s, lines of current domains, level drivers, ADC, logic and static current; see docs/models/cim.md."""
    domain = int(x[DOMAIN])
    supply = x[SUPPLY] ** c[S_SUPPLY]
    cell_scale, rest_scale = x[NODE] ** c[S_NODE_CELL] * supply, x[NODE] ** c[S_NODE_PERIPHERY] * supply
    charge = domain in (CHARGE, TEMPORAL)
    unit_j = c[S_CHARGE] if charge else (c[S_CURRENT] if domain == CURRENT else c[S_BITLINE])
    if x[CAPACITOR] > 0:
        unit_j *= c[S_CAPACITOR]
    width = x[BITS_W] if domain == TEMPORAL else x[BITS_W] ** c[S_BITS_W]
    levels = x[BITS_IN] - 1.0 if domain == TEMPORAL else c[S_LEVELS] * (2.0 ** x[BITS_IN] - 2.0)
    line_j = 0.0 if charge else c[S_LINE] * x[ROWS]
    out[CELL] = x[N] * unit_j * cell_scale * width
    out[LINE] = line_j * cell_scale * width
    out[DRIVER] = (out[CELL] + out[LINE]) * levels
    out[ADC] = adc_units(int(x[ADC_TYPE]), x[ADC_BITS], c[S_ADC_BIT], c[S_ADC_LEVEL], c[ADC_UNIT_CAP]) * rest_scale
    out[LOGIC] = c[S_FIXED] * rest_scale
    out[STATIC] = c[S_STATIC] * x[LATENCY] * rest_scale


@kernel
def envm_pass(x: Floats, c: Floats, out: Floats) -> None:
    """Non-volatile cells: n I t V for the family's mean current, which grows with the node; ADC and logic."""
    family = int(x[FAMILY])
    current_a = c[E_CURRENT] * x[NODE] ** c[E_NODE_CELL]
    if family == PCM:
        current_a *= c[E_PCM]
    elif family == MRAM:
        current_a *= c[E_MRAM]
    elif family == FLASH_CELL:
        current_a *= c[E_FLASH]
    if int(x[DOMAIN]) == VOLTAGE:
        current_a *= c[E_VOLTAGE]
    scale = x[NODE] ** c[E_NODE_PERIPHERY] * x[SUPPLY] ** c[E_SUPPLY]
    out[CELL] = x[N] * current_a * x[LATENCY] * x[SUPPLY] * x[BITS_W] ** c[E_BITS_W]
    out[DRIVER] = out[CELL] * (x[BITS_IN] ** c[E_BITS_IN] - 1.0)
    out[ADC] = adc_units(int(x[ADC_TYPE]), x[ADC_BITS], c[E_ADC_BIT], c[E_ADC_LEVEL], c[ADC_UNIT_CAP]) * scale
    out[LOGIC] = c[E_FIXED] * x[BITS_IN] ** c[FIXED_BITS] * scale


@kernel
def digital_pass(x: Floats, c: Floats, out: Floats) -> None:
    """Digital: products, full adders of the tree n (w + 1) for each input bit (bit-serial: n (w + log2 n)), accumulators."""
    scale = x[NODE] ** c[D_NODE] * x[SUPPLY] ** c[D_SUPPLY]
    n, width, bits = x[N], x[BITS_W], x[BITS_IN]
    depth = log2(max(n, 2.0))
    out[CELL] = n * width * bits * c[D_PRODUCT] * scale
    if int(x[DOMAIN]) == SERIAL:
        out[LOGIC] = n * bits * (width + depth) * c[D_SERIAL] * scale
        return
    out[LOGIC] = (n * bits * (width + 1.0) * c[D_ADDER] + (width + depth + bits) * bits * c[D_SUM]) * scale


@kernel
def pass_costs(inputs: Floats, constants: Floats, energy_j: Floats, latency_s: Floats) -> None:
    """Fill energy_j [n, N_COMPONENTS] and latency_s [n] of every input row [n, N_INPUTS] for constants [N_CONSTANTS].

    A LATENCY of 0 asks for the model's own time. Scope: a chip spends a factor more than its macro, ADC and array a factor less.
    """
    x = np.zeros(N_INPUTS)
    for i in range(inputs.shape[0]):
        for j in range(N_INPUTS):
            x[j] = inputs[i, j]
        latency_s[i] = pass_s(x, constants)
        if x[LATENCY] <= 0.0:
            x[LATENCY] = latency_s[i]
        out = energy_j[i]
        for j in range(N_COMPONENTS):
            out[j] = 0.0
        kind, scope = int(x[KIND]), int(x[SCOPE])
        if kind == SRAM:
            sram_pass(x, constants, out)
        elif kind == ENVM:
            envm_pass(x, constants, out)
        else:
            digital_pass(x, constants, out)
        factor = 1.0
        if scope == CHIP:
            factor = constants[D_CHIP] if kind == DIGITAL else constants[SCOPE_CHIP]
        elif scope == ARRAY_ADC:
            factor = constants[SCOPE_ARRAY]
        total = 0.0
        for j in range(SCOPE_REST):
            total += out[j]
        out[SCOPE_REST] = total * (factor - 1.0)
