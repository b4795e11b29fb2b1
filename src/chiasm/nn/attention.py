"""Multi-head attention over keys and values that are computed once and can be kept."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.nn.linear import Linear
from chiasm.nn.packing import Packing


class KV(NamedTuple):
    """The keys and values of a sequence, split into heads; `present` is False on its padding, None without any."""

    k: Float[Tensor, "b h m e"]
    v: Float[Tensor, "b h m e"]
    present: Bool[Tensor, "b m"] | None = None

    def rows(self, index: Int[Tensor, " n"]) -> "KV":
        return KV(self.k[index], self.v[index], None if self.present is None else self.present[index])

    @property
    def mask(self) -> Bool[Tensor, "b 1 1 m"] | None:
        """Who may be looked at, where nothing but padding is hidden."""
        return None if self.present is None else self.present[:, None, None]


class Attention(nn.Module):
    """Scaled dot-product attention with separate projections, so that adapters can name them.

    What is attended to comes as `KV`, made by `remember`: from the sequence itself, from its past
    and itself, or from a picture. Whoever needs them twice keeps them.
    """

    def __init__(self, dim: int, heads: int, *, kv_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not divisible by heads {heads}")
        self.heads = heads
        self.dropout = dropout
        self.q = Linear(dim, dim)
        self.k = Linear(kv_dim or dim, dim)
        self.v = Linear(kv_dim or dim, dim)
        self.out = Linear(dim, dim)

    def remember(
        self,
        source: Float[Tensor, "b n c"],
        present: Bool[Tensor, "b n"] | None = None,
        packing: Packing | None = None,
    ) -> KV:
        k, v = self.k(source), self.v(source)
        if packing is not None:
            k, v = packing.unpack(k), packing.unpack(v)
        return KV(self._split(k), self._split(v), present)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        kv: KV,
        mask: Bool[Tensor, "_ 1 _ m"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "b n d"]:
        """With a packing, the texts in the one row of `x` each read the `kv` of their own row."""
        dropout = self.dropout if self.training else 0.0
        q = self.q(x) if packing is None else packing.unpack(self.q(x))
        read = F.scaled_dot_product_attention(self._split(q), kv.k, kv.v, attn_mask=mask, dropout_p=dropout)
        states = read.transpose(1, 2).flatten(2)
        return self.out(states if packing is None else packing.pack(states))

    def _split(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
