"""GPTQ: rounds a matrix so that its products change least, not its numbers. Pure.

Frantar, Ashkboos, Hoefler, Alistarh: GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers, 2023, https://arxiv.org/abs/2210.17323. The columns are rounded one after
the other, and what each loses is corrected in the columns that are left, as far as these are used
together with it on calibration texts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.sources.layers import Floats

#: The largest code of int4, and the code of zero where there is no offset.
LARGEST, MIDDLE = 15, 8

_DAMPING = 0.01  # added to the diagonal, as a share of its mean: the paper's value
#: Shares of a block's range that are tried as the range of its codes.
_SHARES = np.linspace(1, 0.62, 20, dtype=np.float32)
_SMALLEST = 1e-12  # scale of a block that is all zero


class Rounded(NamedTuple):
    """A matrix in int4: ``(code - offset) * scale``, with one offset and scale for each block.

    Attributes:
        codes: 0 to 15; shape (rows, columns).
        scales: Shape (rows, blocks).
        offsets: 0 to 15, the code of zero; shape (rows, blocks).
        block_size: Columns that share a scale; the last block may have fewer.
    """

    codes: NDArray[np.uint8]
    scales: Floats
    offsets: NDArray[np.uint8]
    block_size: int

    @property
    def numbers(self) -> Floats:
        """What the codes stand for; shape (rows, columns)."""
        columns = self.codes.shape[1]
        scales, offsets = (
            each.repeat(self.block_size, axis=1)[:, :columns].astype(np.float32)
            for each in (self.scales, self.offsets)
        )
        numbers: Floats = (self.codes - offsets) * scales
        return numbers


def quantize(matrix: Floats, square: Floats, block_size: int, *, symmetric: bool) -> Rounded:
    """Return a matrix in int4, with as little change of its products as GPTQ finds.

    Args:
        matrix: Shape (rows, columns).
        square: Sum of ``x xᵀ`` over the inputs x of the product; shape (columns, columns).
        block_size: Columns that share a scale.
        symmetric: Whether every offset is 8.
    """
    square = _damped(square)
    left = matrix.T.astype(np.float32)  # transposed: a column is then in one piece
    upper = _corrections(square)
    codes = np.empty(left.shape, np.uint8)
    scales, offsets = [], []
    for start in range(0, len(left), block_size):
        end = min(start + block_size, len(left))
        scale, offset = _grid(left[start:end], square.diagonal()[start:end], symmetric=symmetric)
        scales.append(scale)
        offsets.append(offset.astype(np.uint8))
        errors = np.empty_like(left[start:end])
        for column in range(start, end):
            code = _coded(left[column], scale, offset)
            error = (left[column] - (code - offset) * scale) / upper[column, column]
            left[column + 1 : end] -= np.outer(upper[column, column + 1 : end], error)
            codes[column], errors[column - start] = code, error
        left[end:] -= upper[start:end, end:].T @ errors
    return Rounded(
        np.ascontiguousarray(codes.T), np.stack(scales, axis=1), np.stack(offsets, 1), block_size
    )


def _damped(square: Floats) -> Floats:
    """Return the square with a larger diagonal, so that it has an inverse."""
    damped = square.astype(np.float64)
    damped[np.diag_indices_from(damped)] += max(_DAMPING * damped.diagonal().mean(), _SMALLEST)
    return damped


def _corrections(square: Floats) -> Floats:
    """Return how much of a column's error each later column corrects: an upper triangle."""
    inverse = np.linalg.inv(square)
    upper: Floats = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32)
    return upper


def _grid(block: Floats, importance: Floats, *, symmetric: bool) -> tuple[Floats, Floats]:
    """Return the scales and offsets with which the columns of a block lose least.

    Args:
        block: Shape (columns, rows).
        importance: How much an error in each column counts; shape (columns,).
        symmetric: As in ``quantize``.
    """
    weights = importance.astype(np.float32)
    best = np.full(block.shape[1], np.inf, np.float32)
    found = np.ones_like(best), np.full_like(best, MIDDLE)
    for scale, offset in _around_zero(block) if symmetric else _between_ends(block):
        lost = block - (_coded(block, scale, offset) - offset) * scale
        error = weights @ (lost * lost)
        better = error < best
        best = np.where(better, error, best)
        found = np.where(better, scale, found[0]), np.where(better, offset, found[1])
    return found


def _around_zero(block: Floats) -> list[tuple[Floats, Floats]]:
    """Return scales whose lowest code, or the reverse, is the number furthest from zero."""
    furthest = np.take_along_axis(block, np.abs(block).argmax(0)[None], axis=0)[0]
    middle = np.full_like(furthest, MIDDLE)
    scales = [sign * share * furthest / MIDDLE for share in _SHARES for sign in (-1, 1)]
    return [(_nonzero(each), middle) for each in scales]


def _between_ends(block: Floats) -> list[tuple[Floats, Floats]]:
    """Return scales and offsets whose codes reach from the least number to the largest."""
    least, most = block.min(0).clip(max=0), block.max(0).clip(min=0)
    scales = [_nonzero(share * (most - least) / LARGEST) for share in _SHARES]
    return [
        (each, np.rint(-least * share / each).clip(0, LARGEST))
        for each, share in zip(scales, _SHARES, strict=True)
    ]


def _nonzero(scale: Floats) -> Floats:
    return np.where(np.abs(scale) < _SMALLEST, np.float32(_SMALLEST), scale)


def _coded(numbers: Floats, scale: Floats, offset: Floats) -> Floats:
    return (np.rint(numbers / scale) + offset).clip(0, LARGEST)
