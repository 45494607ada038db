"""Convolution of images with a kernel, with a choice of boundaries."""

from typing import Any

import numpy as np
from keras import ops

from keras_lifted.checks import check_array

Tensor = Any


def convolve(x: Tensor, kernel: np.ndarray, boundary: str) -> Tensor:
    """Return `x ∗ kernel` of each channel, in the shape of `x` unless "valid".

    The entry `(rows // 2, columns // 2)` of `kernel` keeps a pixel.

    Raises:
        ValueError: If the images are too small for the kernel.
    """
    # Turned round, an even kernel reaches one pixel less before than after.
    widths = [((n - 1) // 2, n // 2) for n in kernel.shape]
    x, turned = pad(x, widths, boundary), kernel[::-1, ::-1]
    if 1 in kernel.shape:
        return _shifted(x, turned)
    filters = np.repeat(turned[:, :, None, None], x.shape[-1], axis=2)
    return ops.depthwise_conv(
        x,
        ops.convert_to_tensor(filters, dtype=x.dtype),
        strides=1,
        padding="valid",
        data_format="channels_last",
    )


def convolve_sides(x: Tensor, profile: np.ndarray, boundary: str) -> Tensor:
    """Return `x` convolved with one profile along its height and its width."""
    x = convolve(x, profile[:, None], boundary)
    return convolve(x, profile[None, :], boundary)


def _shifted(x: Tensor, profile: np.ndarray) -> Tensor:
    """Sum shifted images, `Σ_ij profile_ij x(· + (i, j))`, for one row or column.

    XLA makes one loop of it, which CPUs run faster than depthwise convolutions. The
    adjoint is the same with the profile turned round.
    """
    around = [(0, 0), *((n - 1, n - 1) for n in profile.shape), (0, 0)]

    def function(x: Tensor) -> Any:
        def adjoint(*upstream: Tensor) -> Tensor:
            return _sum_of_shifts(ops.pad(upstream[0], around), profile[::-1, ::-1])

        return _sum_of_shifts(x, profile), adjoint

    return ops.custom_gradient(function)(x)


def _sum_of_shifts(x: Tensor, profile: np.ndarray) -> Tensor:
    rows, columns = (
        1 - n + ops.shape(x)[axis] for axis, n in enumerate(profile.shape, start=1)
    )
    total = 0.0
    for (i, j), factor in np.ndenumerate(profile):
        total = total + float(factor) * x[:, i : i + rows, j : j + columns]
    return total


def pad(x: Tensor, widths: list[tuple[int, int]], boundary: str) -> Tensor:
    """Return images with pixels before and after the rows, and the columns.

    Raises:
        ValueError: If the boundary needs more pixels than the images have.
    """
    for axis, name in ((0, "height"), (1, "width")):
        size, reach = x.shape[1 + axis], max(widths[axis])
        least = {"zero": 1, "replicate": 1, "reflect": reach + 1}.get(boundary, reach)
        if boundary == "valid":
            least = sum(widths[axis]) + 1
        if size is not None and size < least:
            raise ValueError(
                f"The kernel reaches {reach} pixels past the boundary, but the {name} "
                f"of the images is {size}. Use boundary='zero', a smaller kernel, or "
                f"larger images. Received: images of shape {tuple(x.shape)}, "
                f"boundary={boundary!r}."
            )
    if boundary == "valid" or not np.any(widths):
        return x
    for axis, (before, after) in enumerate(widths, start=1):
        if boundary == "circular":
            first, last = _first(x, axis, -before), _first(x, axis, after)
        elif boundary == "replicate":
            first = ops.repeat(_first(x, axis, 1), before, axis)
            last = ops.repeat(_first(x, axis, -1), after, axis)
        else:
            mode = "constant" if boundary == "zero" else boundary
            return ops.pad(x, [(0, 0), *widths, (0, 0)], mode=mode)
        x = ops.concatenate([first, x, last], axis=axis)
    return x


def _first(x: Tensor, axis: int, count: int) -> Tensor:
    """Return the first `count` pixels along an axis, or for −count the last."""
    part = slice(count) if count >= 0 else slice(count, None)
    return x[(slice(None),) * axis + (part,)]


def check_kernel(owner: str, name: str, kernel: Any) -> np.ndarray:
    """Return `kernel` as a finite matrix, or raise a ValueError."""
    matrix = check_array(name, kernel, owner=owner)
    if matrix.ndim == 2 and matrix.size and np.isfinite(matrix).all():
        return matrix
    raise ValueError(
        f"`{name}` of {owner} must be a finite matrix (rows, columns). Received: an "
        f"array of shape {matrix.shape}."
    )
