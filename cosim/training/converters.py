"""Ranges of converters with a cause switched off: as fine as can be in the same range, or without end at the same step."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, log2

import numpy as np

from hw_models.cim.functional_adc import AdcRange, largest_sum
from hw_models.cim.spec import CimMacroSpec

FINE_BITS = 12  # more than the converter has, where resolution costs nothing: an error of 1/4096 of its own
MARGIN = 4.0  # times the largest sum of cells as designed: what errors of cells may add


def relaxed(spec: CimMacroSpec, used: AdcRange, off: Collection[str]) -> AdcRange:
    """The range without the causes that are off: `adc_resolution`, `adc_clipping`."""
    fine = _finer(used) if "adc_resolution" in off else used
    return _endless(spec, fine) if "adc_clipping" in off else fine


def _finer(used: AdcRange) -> AdcRange:
    """From the same least to the same largest value, in more codes."""
    n_bits = used.n_bits + FINE_BITS
    return AdcRange(n_bits, used.zero, used.step * (used.top / (2.0**n_bits - 1)))


def _endless(spec: CimMacroSpec, used: AdcRange) -> AdcRange:
    """Codes at the same steps for all sums that can be: from -4 S to 4 S, S the largest sum of cells as designed."""
    reach = MARGIN * largest_sum(spec)
    below = np.maximum(0, np.ceil((used.zero + reach) / used.step))
    zero = used.zero - below * used.step
    n_codes = float(np.max((reach - zero) / used.step)) + 2
    return AdcRange(max(used.n_bits, ceil(log2(n_codes))), zero, used.step)


def lsb_ratio(used: AdcRange, changed: AdcRange) -> float:
    """Steps of the changed range in one of the used: errors given in steps of the converter stay what they are."""
    return float(used.step[0] / changed.step[0])
