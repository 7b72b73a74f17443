"""Networks: an encoder, where masks teach a decoder, an evidence map, and heads that pool it.

Axes: B batch, C channels, K categories, F features, S space (the input's), s space (the feature map's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.errors import UsageError
from secondread.models.task import Output

PEAK_SHARE = {2: 0.005, 3: 0.0005}
"""Presence is pooled from this share of the evidence map, its strongest part: a lesion that takes up a smaller share
would be averaged away. By dimensions: a lesion is a smaller share of a volume than of a slice through it."""

PRIOR_LOGIT = -3.0
"""Evidence starts low: most voxels of most scans are no lesion."""


@dataclass(frozen=True)
class NetworkSpec:
    """What it takes to build the same network again.

    Attributes:
        name: one of :data:`BACKBONES`.
        dimensions: 2 or 3.
        channels: C.
        categories: K.
        width: features of the first stage; doubles at each.
        stem: 1, 2 or 4, how far the first convolutions shrink the input; evidence has that resolution.
        decoder: whether evidence comes at the stem's resolution (masks teach it) or at the encoder's end (classifier).
        dropout: on the pooled features.
    """

    name: str
    dimensions: int
    channels: int
    categories: int
    width: int = 16
    stem: int = 2
    decoder: bool = True
    dropout: float = 0.2

    def window(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """What the network takes of a patch at once: all of it, or, of a volume's slices, a square that any fits."""
        return patch if len(patch) == self.dimensions else (max(patch),) * self.dimensions


class SecondReader(nn.Module):
    """Images to evidence, presence and category.

    ``forward(images (B, C, *S)) -> Output``. Any S: the input is padded to what the backbone divides by, and the
    evidence cut back. In a ``precision`` other than float32 the backbone computes under autocast; what comes of its
    features is float32 always, for logits of three digits teach little.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.name not in BACKBONES:
            raise UsageError(f"no network called {spec.name!r}; there are {', '.join(BACKBONES)}")
        self.spec = spec
        self.backbone: Backbone = BACKBONES[spec.name](spec)
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if spec.dimensions == 2 else nn.Conv3d
        self.evidence = conv(self.backbone.dense_features, spec.categories, 1)
        self.context = nn.Sequential(
            nn.LayerNorm(2 * self.backbone.deep_features),
            nn.Dropout(spec.dropout),
            nn.Linear(2 * self.backbone.deep_features, spec.categories + (0 if spec.decoder else 1)),
        )
        # Where masks teach, presence is what the evidence shows and nothing else: a scan is not abnormal for its look.
        self.offset = nn.Parameter(torch.zeros(1)) if spec.decoder else None
        # How much the pooled evidence counts beside the context: learned, from one.
        self.gain = nn.Parameter(torch.ones(2))
        if self.evidence.bias is not None and spec.decoder:
            nn.init.constant_(self.evidence.bias, PRIOR_LOGIT)

    def forward(self, images: Tensor, precision: torch.dtype = torch.float32) -> Output:
        size = images.shape[2:]
        padded = _pad(images, self.backbone.divisor)
        if precision == torch.float32:
            dense, deep = self.backbone(padded)
        else:
            with torch.autocast(images.device.type, precision):
                dense, deep = (features.float() for features in self.backbone(padded))
        evidence: Tensor = self.evidence(dense)
        deep = deep.flatten(2)
        features = torch.cat([deep.mean(2), deep.amax(2)], dim=1)
        context = self.context(features)
        k = self.spec.categories
        presence = self.presence_of(evidence)
        if self.offset is None:
            presence = presence + context[:, k]
        category = self.gain[1] * _peak(evidence.flatten(2), PEAK_SHARE[self.spec.dimensions]) + context[:, :k]
        return Output(self._to_input(evidence, size), presence, category, features)

    def presence_of(self, evidence: Tensor, dimensions: int | None = None) -> Tensor:
        """The presence logit (B) that evidence (B, K, *s) gives; ``dimensions`` where its map has others than the
        network's. Without a decoder, the context is still to be added."""
        share = PEAK_SHARE[dimensions or self.spec.dimensions]
        pooled = self.gain[0] * _peak(evidence.flatten(2).logsumexp(1), share)
        return pooled if self.offset is None else pooled + self.offset

    def _to_input(self, evidence: Tensor, size: torch.Size) -> Tensor:
        """Evidence (B, K, *s) on the padded grid -> (B, K, *S) on the input's."""
        padded = [n + -n % self.backbone.divisor for n in size]
        mode = "bilinear" if self.spec.dimensions == 2 else "trilinear"
        full = functional.interpolate(evidence, size=padded, mode=mode, align_corners=False)
        for axis, (n, p) in enumerate(zip(size, padded, strict=True)):
            full = full.narrow(2 + axis, (p - n) // 2, n)
        return full


class Backbone(nn.Module):
    """``forward(images (B, C, *S)) -> (dense (B, dense_features, *s), deep (B, deep_features, *t))``; S must be a
    multiple of ``divisor``."""

    dense_features: int
    deep_features: int
    divisor: int


class SegResNetBackbone(Backbone):
    """MONAI's SegResNet (Myronenko 2018: residual encoder, additive skips) behind a strided stem."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        from monai.networks.nets.segresnet import SegResNet

        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if spec.dimensions == 2 else nn.Conv3d
        self.stem = _stem(conv, spec)
        self.body = SegResNet(
            spatial_dims=spec.dimensions,
            init_filters=spec.width,
            in_channels=spec.width if spec.stem > 1 else spec.channels,
            out_channels=spec.width,
            norm=("GROUP", {"num_groups": 8}),
            blocks_down=(1, 2, 2, 2),
            blocks_up=(1, 1, 1),
        )
        _normalise_in_float32(self.body)
        self.decoder = spec.decoder
        self.deep_features = spec.width * 8
        self.dense_features = spec.width if spec.decoder else self.deep_features
        self.divisor = 8 * spec.stem
        # What is never run would be saved, averaged and counted all the same.
        self.body.conv_final = nn.Identity()
        if not spec.decoder:
            self.body.up_layers = self.body.up_samples = nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        deep, skips = self.body.encode(self.stem(images))
        if not self.decoder:
            return deep, deep
        return self.body.decode(deep, skips[::-1]), deep


class UNetBackbone(Backbone):
    """MONAI's BasicUNet; the context is pooled from its last feature map."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        from monai.networks.nets.basic_unet import BasicUNet

        w = spec.width
        self.stem = nn.AvgPool2d(spec.stem) if spec.dimensions == 2 else nn.AvgPool3d(spec.stem)
        self.body = BasicUNet(
            spatial_dims=spec.dimensions,
            in_channels=spec.channels,
            out_channels=w,
            features=(w, w, 2 * w, 4 * w, 8 * w, w),
        )
        self.dense_features = self.deep_features = w
        self.divisor = 16 * spec.stem

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if all(n <= self.divisor for n in images.shape[2:]):
            raise UsageError(
                f"unet shrinks {' x '.join(map(str, images.shape[2:]))} to one cell, which cannot be normalised: take "
                f"more than {self.divisor} along an axis (--size, or a finer --spacing), or segresnet"
            )
        dense = self.body(self.stem(images))
        return dense, dense


class ResNet18Backbone(Backbone):
    """MONAI's ResNet-18 (He 2016), pooled only: evidence is its class activation map."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.decoder:
            raise UsageError("resnet18 has no decoder: it suits data without masks; use segresnet or unet for masks")
        from monai.networks.nets.resnet import resnet18

        net = resnet18(
            spatial_dims=spec.dimensions, n_input_channels=spec.channels, conv1_t_stride=2, widen_factor=spec.width / 64
        )
        stages = [net.conv1, net.bn1, net.act, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4]
        self.body = nn.Sequential(*stages)
        self.deep_features = self.dense_features = int(512 * spec.width / 64)
        self.divisor = 32

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        deep = self.body(images)
        return deep, deep


BACKBONES: dict[str, Callable[[NetworkSpec], Backbone]] = {
    "segresnet": SegResNetBackbone,
    "unet": UNetBackbone,
    "resnet18": ResNet18Backbone,
}
"""Networks by name."""


def build(spec: NetworkSpec) -> SecondReader:
    """The network of ``spec``, freshly initialised from torch's current seed. Raises UsageError for unknown names."""
    return SecondReader(spec)


class GroupNorm(nn.GroupNorm):
    """In float32 whatever it is given: in bfloat16 torch's kernel takes three to five times as long backward."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.float()).to(features.dtype)


def _normalise_in_float32(network: nn.Module) -> None:
    """Put :class:`GroupNorm` in the place of each of torch's."""
    for parent in network.modules():
        for name, layer in parent.named_children():
            if type(layer) is nn.GroupNorm:
                setattr(parent, name, GroupNorm(layer.num_groups, layer.num_channels, layer.eps))


def _stem(conv: type[nn.Conv2d] | type[nn.Conv3d], spec: NetworkSpec) -> nn.Module:
    """Convolutions that halve the input until it is ``spec.stem`` times smaller."""
    halvings = spec.stem.bit_length() - 1
    if 2**halvings != spec.stem:
        raise UsageError(f"a stem shrinks by 1, 2 or 4, got {spec.stem}")
    layers: list[nn.Module] = []
    features = spec.channels
    for left in reversed(range(halvings)):
        layers += [nn.ReLU()] if layers else []
        layers += [conv(features, spec.width >> left, 3, stride=2, padding=1)]
        features = spec.width >> left
    return nn.Sequential(*layers)


def _peak(evidence: Tensor, share: float) -> Tensor:
    """Mean of the strongest ``share`` of each map. (..., s flattened) -> (...)."""
    k = max(1, int(share * evidence.shape[-1]))
    return evidence.topk(k, dim=-1).values.mean(-1)


def _pad(images: Tensor, divisor: int) -> Tensor:
    """Replicate the border until every axis of S is a multiple of ``divisor``, half on each side."""
    pads: list[int] = []
    for n in reversed(images.shape[2:]):
        missing = -n % divisor
        pads += [missing // 2, missing - missing // 2]
    return functional.pad(images, pads, mode="replicate") if any(pads) else images
