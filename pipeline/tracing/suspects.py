"""Sensors that may be wrong: how much better their readings are explained by having nothing to do with it.

Of each sensor, its averages as the best source would have them are held against a sensor that reads anything.
"""

import math

import numpy as np

from pipeline.tracing.problem import Floats, Integers, Settings

PRIOR = 0.02  # Of a sensor's being wrong.
ANYTHING_SD = 3.0  # In asinh of clean air's sds: from far too low to twenty times too high.


def suspect_probabilities(
    sensor: Integers, z: Floats, modelled: Floats, sensors: int, settings: Settings
) -> Floats:
    """Return (sensors,) the probability that each is wrong; the prior where it has read nothing.

    Args:
        sensor: (n,) of each average.
        z: (n,) asinh of averages in units of clean air's sd.
        modelled: (n,) the same, as the source would have them.
        sensors: How many there are.
        settings: Errors' sds.
    """
    width = np.tanh(modelled)  # How far an average is in the regime of errors that multiply.
    error2 = settings.kept**2 + settings.wandering**2 + settings.white**2
    clean2 = settings.zero_sd**2 + settings.noise_sd**2
    variance = error2 * width**2 + clean2 * (1.0 - width**2) + clean2
    tail = settings.tail

    def log_t(off: Floats, variance: Floats) -> Floats:
        return np.asarray(-0.5 * (tail + 1.0) * np.log1p(off**2 / (tail * variance)) - 0.5 * np.log(variance))

    wrong = log_t(z, np.full(z.size, ANYTHING_SD**2)) - log_t(z - modelled, variance)
    # What a sensor's errors keep is one error, however often it is read.
    count = np.bincount(sensor, minlength=sensors)
    independent = np.minimum(count, 1.0 + count / 4.0) / np.maximum(count, 1)
    log_odds = math.log(PRIOR / (1.0 - PRIOR)) + independent * np.bincount(sensor, wrong, minlength=sensors)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -500.0, 500.0))))
