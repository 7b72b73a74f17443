from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondread.errors import LabelError
from secondread.formats import contrast_of
from secondread.index.assemble import Item
from secondread.index.draft import Draft
from secondread.index.names import is_picture, role_of, stem_of
from secondread.index.tree import Tree, read_tree

ROOT = Path("/data/set")


def _tree(*paths: str, normal: tuple[str, ...] = ()) -> Tree:
    items = []
    for path in paths:
        file = ROOT / path
        stem = stem_of(file.name)
        folder = file.parent.relative_to(ROOT).parts
        items.append(Item(file, folder, stem, is_picture(file), role_of(stem), contrast_of(stem)))
    return read_tree(ROOT, items, normal)


def _by_name(tree: Tree) -> dict[str, Draft]:
    return {draft.study: draft for draft in tree.drafts}


def test_a_folder_per_class() -> None:
    tree = _tree("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg")
    assert tree.shape == "classes"
    assert {name: draft.label for name, draft in _by_name(tree).items()} == {
        "cats/1": "cats",
        "cats/2": "cats",
        "dogs/1": "dogs",
    }


def test_one_picture_in_each_of_two_folders_are_classes() -> None:
    assert _tree("cats/1.jpg", "dogs/1.jpg").shape == "classes"


def test_one_class_keeps_its_name() -> None:
    assert {draft.label for draft in _tree("cats/1.jpg", "cats/2.jpg").drafts} == {"cats"}


@pytest.mark.parametrize(("train", "test"), [("Training", "Testing"), ("train", "test"), ("TRAIN", "valid")])
def test_splits_of_classes(train: str, test: str) -> None:
    tree = _tree(f"{train}/cats/1.jpg", f"{train}/dogs/1.jpg", f"{test}/cats/2.jpg", f"{test}/dogs/2.jpg")
    assert tree.shape == "splits"
    draft = _by_name(tree)[f"{test}/dogs/2"]
    assert draft.label == "dogs"
    assert draft.split == ("test" if test.lower().startswith("test") else "validation")


def test_a_wrapping_folder_is_seen_through() -> None:
    tree = _tree("archive/train/a/1.jpg", "archive/train/b/1.jpg", "archive/test/a/2.jpg")
    assert {draft.split for draft in tree.drafts} == {"train", "test"}
    assert {draft.label for draft in tree.drafts} == {"a", "b"}


def test_splits_beside_other_folders_are_refused() -> None:
    with pytest.raises(LabelError, match=r"split folders \(test, train\) beside extra"):
        _tree("train/a/1.jpg", "test/a/2.jpg", "extra/3.jpg")


def test_patient_folders_with_contrasts_and_masks() -> None:
    names = ["t1", "t1ce", "t2", "flair", "seg"]
    tree = _tree(*(f"{p}/{p}_{name}.nii.gz" for p in ("Brats18_A_1_1", "Brats18_B_1_1") for name in names))
    assert tree.shape == "patients"
    draft = _by_name(tree)["Brats18_A_1_1"]
    assert len(draft.images) == 4
    assert draft.mask is not None
    assert draft.mask.name == "Brats18_A_1_1_seg.nii.gz"
    assert draft.label is None


def test_flat_class_beside_class_of_patients() -> None:
    tree = _tree("healthy/IXI1_T1.nii.gz", "healthy/IXI2_T1.nii.gz", "tumour/p1/t1.nii.gz", "tumour/p1/seg.nii.gz")
    drafts = _by_name(tree)
    assert drafts["healthy/IXI1_T1"].label == "healthy"
    assert drafts["tumour/p1"].label == "tumour"
    assert drafts["tumour/p1"].mask is not None


def test_two_folders_of_one_scan_are_classes_where_one_is_normal() -> None:
    assert _tree("healthy/a.nii.gz", "sick/b.nii.gz").shape == "classes"
    assert _tree("left/a.nii.gz", "right/b.nii.gz").shape == "patients"
    assert _tree("left/a.nii.gz", "right/b.nii.gz", normal=("left",)).shape == "classes"


def test_flat_volumes_join_by_name() -> None:
    tree = _tree("p1_t1.nii.gz", "p1_flair.nii.gz", "p1_seg.nii.gz", "p2_t1.nii.gz")
    drafts = _by_name(tree)
    assert set(drafts) == {"p1", "p2_t1"}
    assert len(drafts["p1"].images) == 2
    assert drafts["p1"].mask is not None
    assert tree.shape == "flat"


def test_a_mask_whose_name_continues_its_scans() -> None:
    drafts = _by_name(_tree("IMG1.nii.gz", "IMG1_lesion_mask.nii.gz", "IMG10.nii.gz"))
    assert drafts["IMG1"].mask is not None
    assert drafts["IMG10"].mask is None


def test_a_mask_without_scan_is_told() -> None:
    drafts = _by_name(_tree("a.nii.gz", "other_seg.nii.gz"))
    assert "no scan beside it" in (drafts["other_seg"].reason or "")


def test_two_masks_of_one_scan_are_told() -> None:
    assert "2 masks" in (_by_name(_tree("a.nii.gz", "a_seg.nii.gz", "a_mask.nii.gz"))["a"].reason or "")


def test_pictures_called_mask_are_scans_where_nothing_else_is() -> None:
    tree = _tree("with_mask/with_mask_1.jpg", "with_mask/with_mask_2.jpg", "without_mask/a_1.jpg")
    assert {d.label for d in tree.drafts} == {"with_mask", "without_mask"}
    assert len(tree.drafts) == 3
    assert any("taken as scans" in note for note in tree.notes)


def test_masks_in_a_parallel_folder() -> None:
    tree = _tree("images/a.png", "images/b.png", "masks/a.png")
    drafts = _by_name(tree)
    assert set(drafts) == {"images/a", "images/b"}
    assert drafts["images/a"].mask == ROOT / "masks/a.png"
    tree = _tree("glioma/a.png", "glioma/b.png", "glioma_masks/a.png", "other/a.png")
    assert {draft.label for draft in tree.drafts} == {"glioma", "other"}


def test_pictures_in_patients_folders_inside_a_class_are_grouped() -> None:
    paths = [f"glioma/case {n}/{i}.png" for n in range(3) for i in range(2)]
    tree = _tree(*paths, "normal/1.png")
    groups = {draft.group for draft in tree.drafts if draft.label == "glioma"}
    assert groups == {"glioma/case 0", "glioma/case 1", "glioma/case 2"}


def test_a_second_scan_of_one_contrast_becomes_a_study_of_the_same_patient() -> None:
    items = [
        Item(ROOT / f"p1/{name}", ("p1", name), name, False, contrast=contrast)
        for name, contrast in (("a", "t1"), ("b", "t1"), ("c", "flair"))
    ]
    other = Item(ROOT / "p2/a", ("p2", "a"), "a", False, contrast="t1")
    drafts = read_tree(ROOT, [*items, other]).drafts
    assert len(drafts) == 4


def test_brain_masks_are_no_lesions() -> None:
    tree = _tree("p1_t1.nii.gz", "p1_brain_mask.nii.gz")
    assert [draft.mask for draft in tree.drafts] == [None]
    assert any("1 mask of brain or skull was left aside" in note for note in tree.notes)


def test_a_patient_on_both_sides_of_a_given_split_is_one_patient() -> None:
    pictures = [f"{side}/glioma/patient00/{side}{n}.png" for side in ("train", "test") for n in range(2)]
    assert {draft.group for draft in _tree(*pictures).drafts} == {"glioma/patient00"}
    kinds = ("glioma", "healthy")
    volumes = [f"{s}/{kind}/patient0{n}/t1.nii.gz" for s in ("train", "test") for kind in kinds for n in range(2)]
    groups = {(draft.label, draft.group) for draft in _tree(*volumes).drafts}
    assert groups == {(kind, f"{kind}/patient0{n}") for kind in kinds for n in range(2)}


def test_folders_of_images_and_masks_are_no_classes() -> None:
    drafts = _by_name(_tree("images/a.png", "images/b.png", "masks/a.png", "masks/c.png"))
    assert {draft.label for draft in drafts.values()} == {None}
    assert drafts["images/a"].mask == ROOT / "masks/a.png"
    assert "folder of masks" in (drafts["masks/c"].reason or "")
    assert drafts["images/b"].reason is None


def test_an_nnunet_folder_has_no_labels() -> None:
    scans = ["imagesTr/c_001_0000.nii.gz", "imagesTr/c_002_0000.nii.gz", "imagesTs/c_001_0000.nii.gz"]
    tree = _tree(*scans, "labelsTr/c_001.nii.gz", "labelsTs/c_003.nii.gz")
    drafts = _by_name(tree)
    assert {(draft.label, draft.split) for draft in tree.drafts} == {(None, None)}
    assert drafts["imagesTr/c_001_0000"].mask == ROOT / "labelsTr/c_001.nii.gz"
    assert [draft.reason is None for draft in tree.drafts if "imagesTs" in draft.study] == [True]
    assert [draft.mask for draft in tree.drafts if "imagesTs" in draft.study] == [None]
    assert [bool(draft.reason) for draft in tree.drafts if "labelsTs" in draft.study] == [True]


@pytest.mark.parametrize("inner", [("training_set", "test_set"), ("images", "images"), ("img", "imgs")])
def test_wrappers_inside_a_split_are_seen_through(inner: tuple[str, str]) -> None:
    sides = [("training_set", inner[0]), ("test_set", inner[1])]
    tree = _tree(*(f"{a}/{b}/{pet}/{a}{n}.jpg" for a, b in sides for pet in ("cats", "dogs") for n in range(2)))
    assert {(draft.split, draft.label) for draft in tree.drafts} == {
        (split, pet) for split in ("train", "test") for pet in ("cats", "dogs")
    }


def test_a_copy_of_the_classes_beside_them_is_refused() -> None:
    with pytest.raises(LabelError, match="brain_tumor_dataset would be a class"):
        _tree(*(f"{top}{name}/{n}.jpg" for top in ("", "brain_tumor_dataset/") for name in ("yes", "no") for n in "12"))


def test_folders_of_one_digit_and_several_pictures_are_classes() -> None:
    assert {draft.label for draft in _tree(*(f"{c}/{n}.png" for c in "01" for n in range(3))).drafts} == {"0", "1"}
    assert _tree(*(f"{c}/{n}.png" for c in range(12) for n in range(3))).shape == "patients"
    assert _tree("0/t1.nii.gz", "0/t2.nii.gz", "1/t1.nii.gz").shape == "patients"


_PARTS = st.sampled_from(["train", "test", "a", "normal", "images", "masks", "p1", "p2", "sub-01", "x y"])
_NAMES = st.sampled_from(["1.png", "2.jpg", "1_mask.png", "p_t1.nii.gz", "p_flair.nii.gz", "p_seg.nii.gz", "q.nii"])


@given(st.sets(st.tuples(st.lists(_PARTS, max_size=3), _NAMES).map(lambda t: "/".join([*t[0], t[1]])), min_size=1))
def test_nothing_is_lost_whatever_the_folders(paths: set[str]) -> None:
    try:
        tree = _tree(*sorted(paths))
    except LabelError:
        return
    used = [image for draft in tree.drafts for image in draft.images]
    masks = [draft.mask for draft in tree.drafts if draft.mask]
    assert len(used) == len(set(used))
    several = [draft for draft in tree.drafts if draft.reason and "masks" in draft.reason]
    if not several:
        assert {ROOT / path for path in paths} == {*used, *masks}
