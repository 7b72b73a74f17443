"""What a model has to answer, and what one batch says about the truth. Axes: B batch, K categories, S space."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from secondread.errors import DataError

LESION = "lesion"
"""Name of the one category where masks are all there is."""


@dataclass(frozen=True)
class Task:
    """What there is to say of a study.

    Attributes:
        categories: names of the kinds of abnormality, or of all classes where none is normal (cat, dog).
        normal: name of the class that means "nothing abnormal"; None where there is none.
        located: whether masks teach where; the evidence map then has a resolution worth showing as a mask.
    """

    categories: tuple[str, ...]
    normal: str | None
    located: bool

    def __post_init__(self) -> None:
        if not self.categories or len(set(self.categories)) != len(self.categories):
            raise DataError(f"categories must be distinct and at least one, got {list(self.categories)}")

    @property
    def judges_presence(self) -> bool:
        """Whether "is anything there" has a meaning: there is a normal class, or masks that say where nothing is."""
        return self.normal is not None or self.located

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class a study can be put in, the normal one first."""
        return (self.normal, *self.categories) if self.normal is not None else self.categories


@dataclass(frozen=True, eq=False)
class Output:
    """What a network says of a batch. All values are logits.

    Attributes:
        evidence: (B, K, *S). ``evidence.logsumexp(1)`` is "something is here", the softmax over K says what.
        presence: (B,) something abnormal anywhere.
        category: (B, K) which, given that there is something.
        features: (B, 2 F) mean and maximum over space of the encoder's last feature map: no logits, but what a scan
            looks like to the network. None where nobody asked for more than an answer.
    """

    evidence: Tensor
    presence: Tensor
    category: Tensor
    features: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """What is known of a batch.

    Attributes:
        abnormal: (B,) 1 yes, 0 no, -1 not known.
        category: (B,) index into ``Task.categories``; -1 not known or normal.
        masks: (B, *S) 0 outside the lesion.
        mask_known: (B,) bool: whether ``masks`` may be believed.
    """

    abnormal: Tensor
    category: Tensor
    masks: Tensor
    mask_known: Tensor
