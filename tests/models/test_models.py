"""Networks, losses and tasks: shapes, values by hand, and what each kind of label teaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from secondread.errors import DataError, UsageError
from secondread.models import BACKBONES, LOSSES, NetworkSpec, Output, Target, Task, build, loss_for, total

TASK = Task(("glioma", "meningioma"), "normal", located=True)


def spec(name: str = "segresnet", dimensions: int = 2, *, decoder: bool = True, categories: int = 2) -> NetworkSpec:
    return NetworkSpec(name, dimensions, 1, categories, width=8, stem=2, decoder=decoder)


def target(abnormal: list[int], category: list[int], masks: Tensor, known: list[bool]) -> Target:
    return Target(
        torch.tensor(abnormal, dtype=torch.int8), torch.tensor(category), masks.to(torch.uint8), torch.tensor(known)
    )


def output(evidence: Tensor, presence: list[float], category: list[list[float]]) -> Output:
    return Output(evidence, torch.tensor(presence), torch.tensor(category))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_evidence_has_the_input_s_size_whatever_it_is(name: str, dimensions: int) -> None:
    network = build(spec(name, dimensions, decoder=name != "resnet18")).eval()
    size = (45, 70) if dimensions == 2 else (33, 40, 35)
    out = network(torch.randn(2, 1, *size))
    assert out.evidence.shape == (2, 2, *size)
    assert out.presence.shape == (2,)
    assert out.category.shape == (2, 2)


def test_every_weight_takes_part() -> None:
    network = build(spec())
    out = network(torch.randn(2, 1, 32, 32))
    (out.evidence.sum() + out.presence.sum() + out.category.sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", BACKBONES)
def test_in_bfloat16_answers_are_float32_and_nearly_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = build(spec(name, decoder=name != "resnet18")).eval()
    images = torch.randn(2, 1, 48, 48)
    whole, half = network(images), network(images, torch.bfloat16)
    for ours, theirs in ((half.evidence, whole.evidence), (half.presence, whole.presence)):
        assert ours.dtype == torch.float32
        assert 0 < (ours - theirs).abs().max() < 0.05 * theirs.abs().max()
    taught = network.train()(images, torch.bfloat16)
    (taught.evidence.sum() + taught.presence.sum() + taught.category.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_evidence_is_not_shifted_by_padding() -> None:
    # A bright spot must be answered where it is, on a size that has to be padded unevenly.
    torch.manual_seed(0)
    network = build(spec()).eval()
    images = torch.zeros(1, 1, 40, 56)
    images[..., 30:34, 10:14] = 8.0
    change = (network(images).evidence - network(torch.zeros_like(images)).evidence).abs().sum(1)[0]
    rows, columns = (change > 0.5 * change.max()).nonzero(as_tuple=True)
    assert abs(float(rows.float().mean()) - 31.5) < 6
    assert abs(float(columns.float().mean()) - 11.5) < 6


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="segresnet"):
        build(spec("vgg"))
    with pytest.raises(UsageError, match="dice-bce"):
        loss_for("hinge")


def test_a_classifier_backbone_refuses_masks() -> None:
    with pytest.raises(UsageError, match="decoder"):
        build(spec("resnet18", decoder=True))


def test_a_unet_needs_more_than_one_cell() -> None:
    network = build(NetworkSpec("unet", 2, 1, 1, width=8, stem=2))
    with pytest.raises(UsageError, match="32 x 32 to one cell"):
        network(torch.zeros(2, 1, 32, 32))
    network(torch.zeros(2, 1, 48, 32))


def test_a_task_needs_distinct_categories() -> None:
    with pytest.raises(DataError):
        Task((), "normal", located=True)
    with pytest.raises(DataError):
        Task(("a", "a"), None, located=False)


def test_bce_is_that_of_the_textbook() -> None:
    out = output(torch.zeros(1, 2, 4, 4), [0.7], [[0.0, 1.0]])
    terms = loss_for("bce")(out, target([1], [1], torch.zeros(1, 4, 4), [False]), TASK)
    assert terms.keys() == {"presence", "category"}
    assert terms["presence"].item() == pytest.approx(-torch.tensor(0.7).sigmoid().log().item())
    # Two classes: cross-entropy is binary cross-entropy of the difference of the logits.
    assert terms["category"].item() == pytest.approx(-torch.tensor(1.0).sigmoid().log().item())


def test_focal_counts_the_easy_for_less() -> None:
    easy = output(torch.zeros(1, 2, 4, 4), [4.0], [[0.0, 0.0]])
    hard = output(torch.zeros(1, 2, 4, 4), [-4.0], [[0.0, 0.0]])
    truth = target([1], [-1], torch.zeros(1, 4, 4), [False])

    def share(name: str) -> float:
        loss = loss_for(name)
        return (loss(easy, truth, TASK)["presence"] / loss(hard, truth, TASK)["presence"]).item()

    assert share("focal") < 0.01 * share("bce")


def test_smoothing_punishes_certainty() -> None:
    certain = output(torch.zeros(1, 2, 4, 4), [30.0], [[0.0, 0.0]])
    truth = target([1], [-1], torch.zeros(1, 4, 4), [False])
    assert loss_for("bce")(certain, truth, TASK)["presence"].item() < 1e-6
    assert loss_for("label-smoothing")(certain, truth, TASK)["presence"].item() > 1


def test_a_label_alone_teaches_no_voxel_and_a_normal_teaches_all() -> None:
    evidence = torch.zeros(2, 2, 4, 4, requires_grad=True)
    out = output(evidence, [0.0, 0.0], [[0.0, 0.0]] * 2)
    terms = loss_for("dice-bce")(out, target([1, 0], [0, -1], torch.zeros(2, 4, 4), [False, True]), TASK)
    terms["voxel"].backward()
    assert evidence.grad is not None
    assert evidence.grad[0].abs().max() == 0
    assert (evidence.grad[1] > 0).all(), "evidence anywhere in a normal scan must go down"
    assert "dice" not in terms, "an empty mask has no overlap to reward"


def test_a_mask_pulls_its_own_category() -> None:
    evidence = torch.zeros(1, 2, 4, 4, requires_grad=True)
    masks = torch.zeros(1, 4, 4)
    masks[0, 1:3, 1:3] = 4
    terms = loss_for("dice-bce")(output(evidence, [0.0], [[0.0, 0.0]]), target([1], [1], masks, [True]), TASK)
    total(terms).backward()
    assert evidence.grad is not None
    inside, outside = evidence.grad[0, :, 1:3, 1:3], evidence.grad[0, :, 0, 0]
    assert (inside[1] < inside[0]).all()
    assert (outside > 0).all()


def test_dice_is_one_minus_overlap() -> None:
    evidence = torch.full((1, 1, 10, 10), -30.0)
    evidence[..., :5, :] = 30.0
    masks = torch.zeros(1, 10, 10)
    masks[:, :, :5] = 1
    task = Task(("lesion",), None, located=True)
    terms = loss_for("dice-bce")(output(evidence, [0.0], [[0.0]]), target([1], [0], masks, [True]), task)
    assert terms["dice"].item() == pytest.approx(1 - (2 * 25 + 1) / (50 + 50 + 1), abs=1e-5)


def test_a_batch_that_teaches_nothing_is_worth_nothing() -> None:
    out = output(torch.zeros(1, 2, 4, 4), [0.0], [[0.0, 0.0]])
    terms = loss_for("dice-bce")(out, target([-1], [-1], torch.zeros(1, 4, 4), [False]), TASK)
    assert terms == {}
    total(terms).backward()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_goes_down_when_followed(name: str) -> None:
    torch.manual_seed(0)
    network = build(spec())
    images = torch.randn(4, 1, 32, 32)
    masks = torch.zeros(4, 32, 32)
    masks[:2, 8:20, 8:20] = 1
    images[:2, :, 8:20, 8:20] += 3
    truth = target([1, 1, 0, 0], [0, 1, -1, -1], masks, [True, False, True, True])
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    values = []
    for _ in range(12):
        value = total(loss_for(name)(network(images), truth, TASK))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
