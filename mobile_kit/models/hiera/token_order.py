"""The orders of Hiera's tokens (Ryali et al., https://arxiv.org/abs/2306.00989, section 3.3, and Hugging Face's code).

Three orders occur. *Raster*: rows of the map. *Flat*, Hugging Face's: the place in its 2x2 block comes first, then that
block's place in its own, and so on to the coarsest cell; pooling is a maximum over the first axis, and a mask unit's
tokens lie as far apart as there are units. *Ours*: flat with its axes reversed. A mask unit's tokens lie together, and
so do those that are pooled, so that attention and pooling need no permute.
"""

import itertools
import math
from dataclasses import dataclass

from torch import Tensor

from mobile_kit.models.layers import reorder

__all__ = ["TokenOrder"]


@dataclass(frozen=True)
class TokenOrder:
    """How the tokens of one image are counted.

    cells: (rows, columns) of the coarsest cells. stride: the query stride, (rows, columns). steps: how many times a
    cell is divided by it; pools: how many of these are pooled away, the finest first. spare: cells to a mask unit.
    A level is the number of poolings that a map has been through.
    """

    cells: tuple[int, int]
    stride: tuple[int, int]
    steps: int
    pools: int
    spare: int = 1

    def level(self, stage: int) -> int:
        """Return the level of a stage's result; stage -1 is the embedding."""
        return min(max(stage, 0), self.pools)

    def tokens(self, level: int) -> int:
        """Return how many tokens there are."""
        return math.prod(self.map_size(level))

    def map_size(self, level: int) -> tuple[int, int]:
        """Return the map's (height, width) in tokens."""
        left = self.steps - level
        return self.cells[0] * self.stride[0] ** left, self.cells[1] * self.stride[1] ** left

    def sizes(self, level: int) -> list[int]:
        """Return the axes of our order, of which the flat one is the reverse: units first, what is pooled last."""
        block = math.prod(self.stride)
        kept, pooled = [block] * (self.steps - self.pools), [block] * (self.pools - level)
        return [math.prod(self.cells) // self.spare, *kept, self.spare, *pooled]

    def from_flat(self, x: Tensor, level: int = 0) -> Tensor:
        """Bring (1, T, D) from the flat order into ours."""
        return _reversed(x, self.sizes(level)[::-1])

    def to_flat(self, x: Tensor, level: int) -> Tensor:
        """Bring (1, T, D) from our order into the flat one."""
        return _reversed(x, self.sizes(level))

    def from_raster(self, x: Tensor) -> Tensor:
        """Bring (1, T, D) of level 0 from raster order into ours."""
        sizes, pairs = self._raster(0)
        if self.spare == 1:
            return _permuted(x, sizes, _flattened(pairs))
        return self.from_flat(_permuted(x, sizes, _flattened(pairs[::-1])))

    def to_raster(self, x: Tensor, level: int) -> Tensor:
        """Bring (1, T, D) from our order into raster order."""
        sizes, pairs = self._raster(level)
        order = _flattened(pairs)
        if self.spare != 1:
            x, order = self.to_flat(x, level), _flattened(pairs[::-1])
        back = [order.index(axis) for axis in range(len(order))]
        return _permuted(x, [sizes[axis] for axis in order], back)

    def attentions(self, probabilities: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Bring probabilities (windows * heads, Q, T) from our order into Hugging Face's.

        shape: theirs, (1, heads, windows, Q, T).
        """
        _, heads, windows, queries, tokens = shape
        asked, seen = (self._sizes_of(windows * count) for count in (queries, tokens))
        outer = next(i for i in range(len(seen) + 1) if math.prod(seen[:i]) == windows)
        parts = [seen[:outer], [heads], asked[outer:], seen[outer:]]
        ends = list(itertools.accumulate(map(len, parts), initial=0))
        by_window, by_head, by_query, by_token = (list(range(a, b)) for a, b in itertools.pairwise(ends))
        order = [*by_head, *by_window[::-1], *by_query[::-1], *by_token[::-1]]
        return reorder(probabilities, list(itertools.chain(*parts)), order).reshape(shape)

    def _sizes_of(self, tokens: int) -> list[int]:
        return next(self.sizes(level) for level in range(self.pools + 1) if self.tokens(level) == tokens)

    def _raster(self, level: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the axes of the raster order, and those that belong together as (row, column), coarsest first."""
        count = self.steps - level
        sizes = [self.cells[0], *[self.stride[0]] * count, self.cells[1], *[self.stride[1]] * count]
        return sizes, [(i, i + count + 1) for i in range(count + 1)]


def _flattened(pairs: list[tuple[int, int]]) -> list[int]:
    return [axis for pair in pairs for axis in pair]


def _reversed(x: Tensor, sizes: list[int]) -> Tensor:
    return _permuted(x, sizes, list(range(len(sizes)))[::-1])


def _permuted(x: Tensor, sizes: list[int], order: list[int]) -> Tensor:
    """Permute the axes that the tokens of (1, T, D) are seen as; D stays the last."""
    return reorder(x, [*sizes, x.shape[-1]], [*order, len(sizes)])
