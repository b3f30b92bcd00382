"""The autoregressive model of a sound: every sample predicted from those before it.

A model is its reflection coefficients [order], all of them within (-1, 1): it is stable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from frames import Array
from scipy.linalg import convolution_matrix


def burg(samples: Array, order: int) -> Array:
    """Return the model that minimises the sum of forward and backward errors (Burg 1975).

    It needs no window. What is predicted exactly needs no higher order: the rest is 0.
    """
    model = np.zeros(order)
    forward, backward = samples[1:], samples[:-1]
    smallest = 1e-20 * float(samples @ samples)
    for index in range(min(order, len(samples) - 1)):
        energy = forward @ forward + backward @ backward
        if energy <= smallest:
            break
        model[index] = reflection = -2 * (forward @ backward) / energy
        forward, backward = (
            (forward + reflection * backward)[1:],
            (backward + reflection * forward)[:-1],
        )
    return model


def filters(model: Array) -> Iterator[Array]:
    """Yield the prediction error filters of the orders 0, 1, ..., the first coefficient 1."""
    filter_ = np.array([1.0])
    yield filter_
    for reflection in model:
        longer = np.append(filter_, 0)
        filter_ = longer + reflection * longer[::-1]
        yield filter_


def errors(model: Array, samples: int) -> Array:
    """Return the matrix [samples, samples] from a sound to its prediction errors, all alike.

    The first samples are predicted by the lower orders, whose larger errors are scaled down: for E,
    the result, and v, the variance of an error, E'E / v is the inverse of the covariance of the
    stationary process.
    """
    # The error of order n has the variance v / ((1 - k_{n+1}^2) ... (1 - k_p^2)).
    scales = np.sqrt(np.cumprod((1 - model**2)[::-1])[::-1])
    matrix = np.zeros((samples, samples))
    for order, filter_ in enumerate(filters(model)):
        if order < len(model):
            matrix[order, : order + 1] = scales[order] * filter_[::-1]
        else:
            matrix[order:] = convolution_matrix(filter_, samples, mode="valid")
    return matrix
