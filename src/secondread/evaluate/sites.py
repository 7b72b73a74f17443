"""Leave one site out: what a quick reader loses on a site that it has never seen.

For each site the reader (:mod:`secondread.evaluate.quick`) names the class of its studies twice: having learned from
all sites, the site itself among them (cross-validated over patients), and from the other sites alone. The difference
says how far figures on known sites carry to a new one (and, where one site holds most studies, how few are left to
learn from without it); the model itself is not trained again for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from secondread.evaluate import quick
from secondread.evaluate.intervals import FEW_GROUPS, Figure
from secondread.evaluate.lines import mean_of
from secondread.index.split import units

if TYPE_CHECKING:
    from secondread.index import Row

MAX_SITES = 12
"""The largest sites; the others are told from nothing by so few studies."""


@dataclass(frozen=True)
class SiteLine:
    """One site: accuracy of the quick reader having seen other patients of it (``inside``), and having seen none
    (``outside``); ``loss`` is the paired difference."""

    site: str
    inside: Figure
    outside: Figure
    loss: Figure

    @property
    def verdict(self) -> str:
        if self.inside.groups < FEW_GROUPS:
            return f"{self.inside.groups} patients: too few to say"
        if self.loss.low > 0:
            return "loses on a site not seen"
        return "gains on a site not seen" if self.loss.high < 0 else "no difference to be seen"

    def to_json(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).to_json() for name in ("inside", "outside", "loss")}
        return {"site": self.site, **figures, "verdict": self.verdict}


@dataclass(frozen=True)
class Sites:
    """A line per site, or why there is none."""

    lines: tuple[SiteLine, ...] = ()
    blocked: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"lines": [line.to_json() for line in self.lines], "blocked": self.blocked}


def leave_one_site_out(rows: Sequence[Row], *, seed: int = 0) -> Sites:
    """Measure it on included rows with a site and a class."""
    known = quick.sampled([row for row in quick.readable(rows) if row.site is not None], seed)
    sites = sorted({row.site or "" for row in known}, key=lambda s: (-sum(r.site == s for r in known), s))[:MAX_SITES]
    if len(sites) < 2:
        return Sites(blocked="fewer than two sites are known" if sites else "no site is known")
    table, labels, unit = quick.features(known), quick.classes(known), units(known)
    place = np.array([row.site for row in known], dtype=np.str_)
    fold = np.random.default_rng(seed).permutation(int(unit.max()) + 1) % quick.FOLDS
    inside, outside = np.full(len(known), np.nan), np.full(len(known), np.nan)
    for number in range(quick.FOLDS):
        judge, learn = np.flatnonzero(fold[unit] == number), np.flatnonzero(fold[unit] != number)
        if len(judge) and len(set(labels[learn])) > 1:
            inside[judge] = quick.answers(table, labels, learn, judge, seed) == labels[judge]
    for site in sites:
        judge = np.flatnonzero(place == site)
        learn = np.flatnonzero((place != site) & ~np.isin(unit, unit[judge]))
        if len(learn) and len(set(labels[learn])) > 1:
            outside[judge] = quick.answers(table, labels, learn, judge, seed) == labels[judge]
    lines = []
    for site in sites:
        mine = np.flatnonzero((place == site) & ~np.isnan(inside) & ~np.isnan(outside))
        groups = [known[at].group for at in mine]
        known_site, new_site = mean_of(inside[mine], groups), mean_of(outside[mine], groups)
        figures = known_site.figure, new_site.figure, known_site.over(new_site)
        if figures[0] is not None and figures[1] is not None and figures[2] is not None:
            lines.append(SiteLine(site, figures[0], figures[1], figures[2]))
    return Sites(tuple(lines), None if lines else "each site has one class, or all but one site have the same one")
