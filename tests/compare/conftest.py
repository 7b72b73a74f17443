"""A comparison whose runs cost nothing: a stand-in for training that writes what a real run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from secondread.compare import choose, compare, runs
from secondread.errors import DivergenceError
from secondread.index import Index, build_index
from secondread.train import Packed, Plan, replan
from tests.index.makers import picture

Worth = Callable[[Plan], float | None]


def worth_by_rate(plan: Plan) -> float | None:
    """The nearer the learning rate to 0.01, the better; from 1 on it diverges."""
    return None if plan.learning_rate >= 1 else 1 / (1 + abs(plan.learning_rate - 0.01) * 50) - 0.001 * plan.seed


@dataclass
class Trainer:
    """Stands in for ``train``: a run's validation accuracy is what its plan is ``worth``, None diverges."""

    worth: Worth = worth_by_rate
    trained: list[str] = field(default_factory=list)

    def __call__(
        self,
        data: Packed | None,
        run: Path,
        *,
        overrides: dict[str, Any] | None,
        resume: bool,
        progress: Callable[[str, int, int], None],
        **_: Any,
    ) -> Path:
        self.trained.append(run.name)
        progress("epoch 1, loss 0.5", 1, 1)
        assert (data is None) == resume
        plan = Plan.load(run / "plan.json") if data is None else replan(data.plan, overrides or {})
        run.mkdir(parents=True, exist_ok=True)
        if data is not None:
            data.index.save(run / "index.parquet")
            plan.save(run / "plan.json")
        value = self.worth(plan)
        if value is None:
            raise DivergenceError("the loss is no longer a number")
        figures = {"loss": 1 - value, "accuracy": value}
        line = {"epoch": 1, "seconds": 1.0, "train": figures, "validation": figures, "best": True}
        (run / "history.jsonl").write_text(json.dumps(line) + "\n")
        (run / "model").mkdir()
        (run / "model" / "manifest.json").write_text("{}")
        return run / "model"


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    made = Trainer()
    monkeypatch.setattr(runs, "train", made)
    return made


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("compare")
    for n in range(18):
        picture(folder / ("dark", "bright")[n % 2] / f"p{n:02d}.png", n)
    return build_index([folder])


@dataclass
class Comparison:
    """``comparison(overrides, seeds=2)`` compares below one folder, and returns what ``compare.json`` holds."""

    index: Index
    out: Path
    said: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def __call__(self, overrides: dict[str, Any], *, seeds: int = 1, trials: int | None = None) -> Any:
        choices, shared = choose({"size": 32, **overrides}, seeds=seeds, trials=trials)
        compare(
            self.index,
            choices,
            shared,
            self.out,
            progress=lambda what, *_: self.shown.append(what),
            say=self.said.append,
        )
        return json.loads((self.out / "compare.json").read_text(encoding="utf-8"))


@pytest.fixture
def comparison(index: Index, tmp_path: Path) -> Comparison:
    return Comparison(index, tmp_path / "c")
