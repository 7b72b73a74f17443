"""Folders to drafts: a folder per class, per patient, per split, or flat. Looks at names only; no file is opened.

What a folder is, decided from the top:

- *splits*: its folders are named ``train``, ``val``, ``test`` in any usual spelling
- *classes*: its folders hold several studies each, or one of them is named like a normal class
- *patients*: each of its folders holds one study, or is named like a patient
- *flat*: it holds files or series and no folders with scans
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from secondread.errors import LabelError
from secondread.index.assemble import Item, Place, as_one_study, as_studies, one_study
from secondread.index.draft import Draft
from secondread.index.names import base_of, is_normal, patient_of, split_of, squeeze

Shape = Literal["splits", "classes", "patients", "flat"]

_MASK_FOLDERS = frozenset({
    "mask", "masks", "label", "labels", "labelstr", "labelsts", "seg", "segs", "segmentation", "segmentations",
    "groundtruth", "gt", "annotations",
})  # fmt: skip
_IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "scan", "scans", "imagestr", "imagests", "pictures"})
_SUBJECT = re.compile(r"^(sub|subj|subject|patient|pat|pt|case|id|p|s)?[-_ ]?\d+$", re.IGNORECASE)

MIN_PATIENT_FOLDERS = 3
"""So many folders of pictures inside one class are taken for patients, and as many folders of one picture each."""


@dataclass
class Node:
    """A folder with scans somewhere below it."""

    name: str
    path: str = ""
    items: list[Item] = field(default_factory=list)
    children: dict[str, Node] = field(default_factory=dict)

    def below(self) -> Iterator[Item]:
        yield from self.items
        for child in self.children.values():
            yield from child.below()


@dataclass(frozen=True)
class Tree:
    """What a folder held. ``shape`` is of the top; ``name`` may serve as a label where it is a mere set of studies."""

    name: str
    shape: Shape
    drafts: tuple[Draft, ...]
    notes: tuple[str, ...]


def read_tree(root: Path, items: Sequence[Item], normal: Sequence[str] = ()) -> Tree:
    """Turn everything found below ``root`` into drafts.

    Raises LabelError: folders named as splits stand beside folders that are not.
    """
    node = _plant(root, items)
    notes: list[str] = []
    # A download often wraps the data in one more folder.
    while not node.items and len(node.children) == 1:
        (child,) = node.children.values()
        if squeeze(child.name) not in _IMAGE_FOLDERS and _shape(child, normal) not in ("splits", "classes"):
            break
        node = child
    shape = _shape(node, normal)
    drafts = _grow(node, Place(), normal, notes)
    aside = sum(item.role == "aside" for item in items)
    if aside:
        notes.append(f"{root.name}: {aside} brain or skull masks were left aside: they mark no lesion.")
    return Tree(root.name, shape, tuple(drafts), tuple(notes))


def _plant(root: Path, items: Sequence[Item]) -> Node:
    top = Node(root.name)
    for item in _pair_mask_folders(items):
        node = top
        for part in item.folder:
            path = f"{node.path}/{part}" if node.path else part
            node = node.children.setdefault(part, Node(part, path))
        node.items.append(item)
    return top


def _shape(node: Node, normal: Sequence[str]) -> Shape:
    children = list(node.children.values())
    if not children:
        return "flat"
    splits = {split_of(child.name) for child in children} - {None}
    if "train" in splits or len(splits) > 1:
        return "splits"
    if any(is_normal(child.name, normal) for child in children):
        return "classes"
    named = sum(patient_of(child.name) is not None or bool(_SUBJECT.match(child.name)) for child in children)
    if 2 * named > len(children) or _each_one_study(children):
        return "patients"
    return "classes"


def _each_one_study(children: Sequence[Node]) -> bool:
    held = [list(child.below()) for child in children]
    if not all(one_study(items) for items in held):
        return False
    # Two folders with a picture each are the smallest exercise in classes, not two patients.
    return len(children) >= MIN_PATIENT_FOLDERS or not any(item.picture for items in held for item in items)


def _grow(node: Node, place: Place, normal: Sequence[str], notes: list[str]) -> list[Draft]:
    shape = _shape(node, normal)
    if shape == "splits" and place.split is None:
        return _grow_splits(node, place, normal, notes)
    if shape != "classes":
        return _gather(node, place, notes)
    if node.items:
        notes.append(f"{node.name} holds {len(node.items)} scans beside its class folders: they have no label.")
    drafts = _studies(node, place, notes)
    for child in node.children.values():
        drafts += _gather(child, replace(place, label=child.name), notes)
    return drafts


def _grow_splits(node: Node, place: Place, normal: Sequence[str], notes: list[str]) -> list[Draft]:
    others = sorted(child for child in node.children if split_of(child) is None)
    if others or any(item.role == "scan" for item in node.items):
        named = ", ".join(sorted(set(node.children) - set(others)))
        raise LabelError(
            f"{node.name} holds split folders ({named}) beside {', '.join(others) or 'loose scans'}: "
            f"move what belongs to no split away, or give the split in a CSV with a split column"
        )
    drafts = []
    for child in node.children.values():
        drafts += _grow(child, replace(place, split=split_of(child.name)), normal, notes)
    return drafts


def _gather(node: Node, place: Place, notes: list[str]) -> list[Draft]:
    """Studies inside a class, a patient, or a flat folder: folders below tell patients, not classes."""
    drafts = _studies(node, place, notes)
    children = list(node.children.values())
    for child in children:
        items = list(child.below())
        if one_study(items) and squeeze(child.name) not in _IMAGE_FOLDERS:
            drafts += as_one_study(items, child.path, place)
            continue
        patient = len(children) >= MIN_PATIENT_FOLDERS or _SUBJECT.match(child.name) or patient_of(child.name)
        known = place.group or (child.path if patient and not patient_of(child.path) else None)
        drafts += _gather(child, replace(place, group=known), notes)
    return drafts


def _studies(node: Node, place: Place, notes: list[str]) -> list[Draft]:
    drafts, more = as_studies(node.items, node.path, place)
    notes += more
    # Files called just t1.nii.gz and flair.nii.gz are named after their folder.
    return [replace(draft, study=draft.study or node.name) for draft in drafts]


def _pair_mask_folders(items: Sequence[Item]) -> list[Item]:
    """Give scans the masks that lie in a parallel folder (``images/a.png`` and ``masks/a.png``)."""
    inside = [item for item in items if any(_is_mask_folder(part) for part in item.folder)]
    inside_sources = {item.source for item in inside}
    keys = {_pair_key(item): item for item in inside}
    paired: dict[Path, Item] = {}
    scans = []
    for item in items:
        partner = None if item.source in inside_sources or item.role != "scan" else keys.get(_pair_key(item))
        if partner is not None:
            paired[partner.source] = item
        scans.append(replace(item, mask=partner.source) if partner else item)
    return [item for item in scans if item.source not in paired]


def _is_mask_folder(name: str) -> bool:
    return squeeze(name) in _MASK_FOLDERS or bool(re.search(r"[-_ ]masks?$", name, re.IGNORECASE))


def _pair_key(item: Item) -> tuple[tuple[str, ...], str]:
    """The folders without those that tell image from mask, and the name without the words that do."""
    parts = (re.sub(r"[-_ ]masks?$", "", part, flags=re.IGNORECASE) for part in item.folder)
    folder = tuple(part for part in parts if squeeze(part) not in _MASK_FOLDERS | _IMAGE_FOLDERS)
    return folder, re.sub(r"_0000$", "", base_of(item.stem))
