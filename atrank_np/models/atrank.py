"""ATRank: the equations of the paper from (1) to (8), composed of `layers`, and a residual connection before (6)."""

from functools import partial
from typing import NamedTuple

from ..arrays import Floats
from ..datasets.packing import Batch
from ..layers.attention import attention_weights
from ..parameters import Params, Shapes
from ..randomness import Dropout
from .common_space import CommonSpace
from .gradients import Gradients
from .ranker import AttendedCache, Ranker


class UserCache(NamedTuple):
    self_layer: AttendedCache
    vanilla: AttendedCache
    C: Floats  # [N,D], (6)

    def weights(self) -> dict[str, list[Floats | None]]:
        """Attention weights by layer: lists of [K,q,n] arrays, one per history (None for an empty one)."""
        return {"self": attention_weights(self.self_layer.attention), "vanilla": attention_weights(self.vanilla.attention)}


class ATRank(Ranker):
    """spaces: K of (2), which must divide the width D.

    A departure: (6) is C = F_self(S + concat_k C_k), so each behaviour keeps its own row. The printed (6) has no S (`Printed`).
    But the paper cites Vaswani et al., whose layers have this connection, and it improves the AUC (`departures`).
    """

    residuals: tuple[str, ...] = ("self",)

    def __init__(self, space: CommonSpace, spaces: int, ranking: str = "dot") -> None:
        super().__init__(space, ranking)
        self.K = spaces

    def user_shapes(self, D: int) -> Shapes:
        return self.attention_shapes("self", D) | self.attention_shapes("vanilla", D)

    def user_forward(
        self, params: Params, S: Floats, h: Floats, batch: Batch, dropout: Dropout | None
    ) -> tuple[Floats, UserCache]:  # [N,D], [T,D] -> [T,D]
        """e_t of (7). Cache: those of both attentions, and C."""
        masks = [partial(dropout.mask, layer) if dropout else None for layer in (0, 1)]
        C, self_layer = self.attend("self", params, S, S, batch.offsets, batch.offsets, masks[0])  # F1 (2) to (6)
        e, vanilla = self.attend("vanilla", params, h, C, batch.target_offsets, batch.offsets, masks[1])  # F2 (7)
        return e, UserCache(self_layer, vanilla, C)

    def user_backward(self, de: Floats, cache: UserCache, gradients: Gradients) -> tuple[Floats, Floats]:  # [T,D] -> [N,D], [T,D]
        dh, dC = self.attend_backward("vanilla", de, cache.vanilla, gradients)  # B2
        dS_query, dS_memory = self.attend_backward("self", dC, cache.self_layer, gradients)  # B1
        return dS_query + dS_memory, dh  # S has two uses
