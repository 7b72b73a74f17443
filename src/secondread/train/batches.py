"""Batches taken apart and put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from secondread.store import Batch


def one_of(batch: Batch, b: int) -> Batch:
    """Sample ``b`` of a batch, as a batch."""
    row = slice(b, b + 1)
    return Batch(
        batch.images[row],
        batch.masks[row],
        batch.mask_known[row],
        batch.category[row],
        batch.abnormal[row],
        batch.studies[row],
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """The samples of batches of one size, one batch's behind another's."""
    return Batch(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.masks for batch in batches]),
        torch.cat([batch.mask_known for batch in batches]),
        torch.cat([batch.category for batch in batches]),
        torch.cat([batch.abnormal for batch in batches]),
        [study for batch in batches for study in batch.studies],
    )
