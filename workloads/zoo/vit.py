"""Vision transformers: ViT, and DeiT with and without its distillation token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workloads.builder import GraphBuilder, Value
from workloads.errors import WorkloadError
from workloads.registry import network
from workloads.zoo.transformer import NOTE, Size, pre_norm_block

if TYPE_CHECKING:
    from workloads.graph import Workload

_VIT = "Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021 (arXiv:2010.11929), table 1"
_DEIT = "Touvron et al., Training data-efficient image transformers & distillation through attention, ICML 2021 (arXiv:2012.12877), table 1"


TINY, SMALL, BASE = Size(12, 192, 3), Size(12, 384, 6), Size(12, 768, 12)
LARGE, HUGE = Size(24, 1024, 16), Size(32, 1280, 16)


def vit(
    name: str,
    batch: int = 1,
    height: int = 224,
    width: int = 224,
    classes: int = 1000,
    *,
    size: Size,
    patch: int,
    distilled: bool = False,
) -> Workload:
    """Patches by a strided convolution, class token, learned positions, pre-norm encoder, linear head on the class token.

    The position table has a row a token, so parameters depend on the image size. A distilled DeiT has a second
    token and a second head; its result is the mean of both. Raises WorkloadError when the patches do not tile the image.
    """
    if min(height, width) < 1 or height % patch or width % patch:
        raise WorkloadError(f"{name}: an image of {height}x{width} is not a whole number of {patch}x{patch} patches")
    b = GraphBuilder(name, batch)
    x = _tokens(b, b.input("image", batch, 3, height, width), size.width, patch, 2 if distilled else 1)
    for layer in range(size.layers):
        x, _, _ = pre_norm_block(b, x, size, f"layer{layer}")
    x = b.norm(x)
    out = b.linear(b.move("Gather", (x,), (batch, size.width)), classes)
    if distilled:
        out = b.add(out, b.linear(b.move("Gather", (x,), (batch, size.width)), classes))
        out = b.elementwise("Mul", out)
    return b.build(out, dims={"height": height, "width": width, "classes": classes}, notes=(NOTE,))


def _tokens(b: GraphBuilder, image: Value, width: int, patch: int, extra: int) -> Value:
    """(n, c, h, w) to (n, extra + patches, width): patches written channels last, learned tokens first, positions added."""
    x = b.conv2d(image, width, patch, patch, bias=True, name="patches")
    n, _, h, w = x.shape
    tokens = [b.weight(f"token{i}", 1, width) for i in range(extra)]
    x = b.move("Concat", (x.view(n, h * w, width),), (n, extra + h * w, width), weights=tokens)
    return b.add_table(x, extra + h * w, name="positions")


# Name → (size, patch, image, other names); names of torchvision, then those of timm.
_VITS = {
    "vit_b_16": (BASE, 16, 224, ("vit_base_patch16_224",)),
    "vit_b_32": (BASE, 32, 224, ("vit_base_patch32_224",)),
    "vit_l_16": (LARGE, 16, 224, ("vit_large_patch16_224",)),
    "vit_l_32": (LARGE, 32, 224, ("vit_large_patch32_224",)),
    "vit_h_14": (HUGE, 14, 224, ("vit_huge_patch14_224",)),
    "vit_tiny_patch16_224": (TINY, 16, 224, ()),
    "vit_small_patch16_224": (SMALL, 16, 224, ()),
    "vit_small_patch32_224": (SMALL, 32, 224, ()),
    "vit_base_patch16_384": (BASE, 16, 384, ()),
    "vit_base_patch32_384": (BASE, 32, 384, ()),
    "vit_large_patch16_384": (LARGE, 16, 384, ()),
}
for _name, (_size, _patch, _image, _aliases) in _VITS.items():
    network(
        _name,
        title=f"ViT, {_size.layers} layers of {_size.width}, patch {_patch}",
        paper=_VIT,
        aliases=_aliases,
        dims={"height": _image, "width": _image},
        size=_size,
        patch=_patch,
    )(vit)
for _label, _size in (("tiny", TINY), ("small", SMALL), ("base", BASE)):
    network(f"deit_{_label}_patch16_224", title=f"DeiT {_label}", paper=_DEIT, size=_size, patch=16)(vit)
    network(
        f"deit_{_label}_distilled_patch16_224",
        title=f"DeiT {_label} with distillation token",
        paper=_DEIT,
        size=_size,
        patch=16,
        distilled=True,
    )(vit)
network("deit_base_patch16_384", title="DeiT base at 384x384", paper=_DEIT, dims={"height": 384, "width": 384}, size=BASE, patch=16)(vit)
