"""Folders to drafts: a folder per class, per patient, per split, or flat. Looks at names only; no file is opened.

What a folder is, decided from the top:

- *splits*: its folders are named ``train``, ``val``, ``test`` in any usual spelling
- *classes*: its folders hold several studies each, or one of them is named like a normal class
- *patients*: each of its folders holds one study, or is named like a patient
- *flat*: it holds files or series and no folders with scans
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from secondread.errors import LabelError
from secondread.index.assemble import Item, Place, as_one_study, as_studies, one_study
from secondread.index.draft import Draft
from secondread.index.names import base_of, is_normal, patient_of, split_of, squeeze
from secondread.index.words import counted

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
        left = counted(aside, "mask of brain or skull was", "masks of brain or skull were")
        notes.append(f"{root.name}: {left} left aside: no lesion is marked there.")
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
    children = [child for child in node.children.values() if not _is_holder(child.name, node.children)]
    if not children:
        inner = [_shape(child, normal) for child in node.children.values()]
        return next((shape for shape in inner if shape != "flat"), "flat")
    splits = {split_of(child.name) for child in children} - {None}
    if "train" in splits or len(splits) > 1:
        return "splits"
    if any(is_normal(child.name, normal) for child in children):
        return "classes"
    if all(_is_numbered_class(child) for child in children):
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
    node = _unwrapped(node, place)
    if _shape(node, normal) == "splits" and place.split is None and not _all_holders(node):
        return _grow_splits(node, place, normal, notes)
    # A folder named images or masks tells what its files are, never what they show.
    holders = [name for name in node.children if _is_holder(name, node.children)]
    held = [draft for name in holders for draft in _grow(node.children[name], place, normal, notes)]
    node = replace(node, children={name: node.children[name] for name in node.children if name not in holders})
    if _shape(node, normal) != "classes":
        return held + _gather(node, place, notes)
    _refuse_nested_classes(node)
    if node.items:
        notes.append(f"{node.name} holds {len(node.items)} scans beside its class folders: they have no label.")
    drafts = held + _studies(node, place, notes)
    for child in node.children.values():
        drafts += _gather(child, replace(place, label=child.name), notes)
    return drafts


def _unwrapped(node: Node, place: Place) -> Node:
    """What lies below a lone folder that says nothing new: ``images``, or the split's own name once more."""
    while not node.items and len(node.children) == 1:
        (child,) = node.children.values()
        again = place.split is not None and split_of(child.name) == place.split
        if not again and squeeze(child.name) not in _IMAGE_FOLDERS:
            break
        node = child
    return node


def _refuse_nested_classes(node: Node) -> None:
    """Raise LabelError where a class holds folders named like the classes beside it: often a copy of all the data."""
    names = {squeeze(name) for name in node.children if not _SUBJECT.match(name)}
    for child in node.children.values():
        again = sorted(name for name in child.children if squeeze(name) in names - {squeeze(child.name)})
        if again:
            raise LabelError(
                f"{child.name} would be a class, and holds folders named like the classes beside it "
                f"({', '.join(again)}): move {child.name} away if it is a copy of the data, or give it alone"
            )


def _grow_splits(node: Node, place: Place, normal: Sequence[str], notes: list[str]) -> list[Draft]:
    others = sorted(child for child in node.children if split_of(child) is None)
    if others or any(item.role == "scan" for item in node.items):
        named = ", ".join(sorted(set(node.children) - set(others)))
        raise LabelError(
            f"{node.name} holds split folders ({named}) beside {', '.join(others) or 'loose scans'}: "
            f"move what belongs to no split away, or give the split in a CSV with a split column"
        )
    reason = "it is named like a mask, and lies beside the split folders, in none of them"
    lost = [replace(item, error=item.error or reason) for item in node.items]
    drafts = _studies(replace(node, items=lost), place, notes)
    for child in node.children.values():
        drafts += _grow(child, replace(place, split=split_of(child.name)), normal, notes)
    return drafts


def _gather(node: Node, place: Place, notes: list[str]) -> list[Draft]:
    """Studies inside a class, a patient, or a flat folder: folders below tell patients, not classes."""
    drafts = _studies(node, place, notes)
    children = list(node.children.values())
    for child in children:
        items = list(child.below())
        holder = _is_holder(child.name, node.children)
        named = bool(_SUBJECT.match(child.name)) and not patient_of(child.path)
        if one_study(items) and squeeze(child.name) not in _IMAGE_FOLDERS:
            # Only a given split asks who the patient of a lone study is: the other side may hold another of them.
            known = place.group or (_patient_path(child, place) if named and place.split else None)
            drafts += as_one_study(items, child.path, replace(place, group=known))
            continue
        patient = not holder and (len(children) >= MIN_PATIENT_FOLDERS or named)
        known = place.group or (_patient_path(child, place) if patient and not patient_of(child.path) else None)
        drafts += _gather(child, replace(place, group=known), notes)
    return drafts


def _patient_path(node: Node, place: Place) -> str:
    """A patient's folder without the split above it: ``test/glioma/p1`` is the patient ``train/glioma/p1`` is."""
    if place.split is None:
        return node.path
    *above, name = node.path.split("/")
    return "/".join([*(part for part in above if split_of(part) is None), name])


def _studies(node: Node, place: Place, notes: list[str]) -> list[Draft]:
    drafts, more = as_studies(node.items, node.path, place)
    notes += more
    # Files called just t1.nii.gz and flair.nii.gz are named after their folder.
    return [replace(draft, study=draft.study or node.name) for draft in drafts]


def _pair_mask_folders(items: Sequence[Item]) -> list[Item]:
    """Give scans the masks that lie in a parallel folder (``images/a.png`` and ``masks/a.png``)."""
    inside = [item for item in items if any(_is_mask_folder(part) for part in item.folder)]
    inside_sources = {item.source for item in inside}
    beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folder in {item.folder for item in items}:
        for depth, part in enumerate(folder):
            beside[folder[:depth]].add(part)
    keys = {_pair_key(item): item for item in inside}
    paired: dict[Path, Item] = {}
    scans = []
    for item in items:
        partner = None if item.source in inside_sources or item.role != "scan" else keys.get(_pair_key(item))
        if partner is not None:
            paired[partner.source] = item
        scans.append(replace(item, mask=partner.source) if partner else item)
    return [_told_if_orphan(item, beside) for item in scans if item.source not in paired]


def _told_if_orphan(item: Item, beside: Mapping[tuple[str, ...], Collection[str]]) -> Item:
    """An item that lies in a folder of masks and is no scan's mask, with that as its error."""
    for depth, part in enumerate(item.folder):
        if _is_holder(part, beside[item.folder[:depth]]) and squeeze(part) not in _IMAGE_FOLDERS:
            reason = f"it lies in the folder of masks {part}, and no scan has its name"
            return replace(item, error=item.error or reason)
    return item


def _is_holder(name: str, beside: Collection[str]) -> bool:
    """Whether a folder is named for images or masks: ``labelsTr``, or ``glioma_masks`` with ``glioma`` beside it."""
    return squeeze(name) in _MASK_FOLDERS | _IMAGE_FOLDERS or (_is_mask_folder(name) and _unmasked(name) in beside)


def _all_holders(node: Node) -> bool:
    return bool(node.children) and all(_is_holder(name, node.children) for name in node.children)


def _is_numbered_class(node: Node) -> bool:
    """``0``, ``1``: one digit and several pictures. Patients of whom there are more have longer numbers among them."""
    items = list(node.below())
    return bool(re.fullmatch(r"\d", node.name)) and len(items) > 1 and all(item.picture for item in items)


def _is_mask_folder(name: str) -> bool:
    return squeeze(name) in _MASK_FOLDERS or bool(re.search(r"[-_ ]masks?$", name, re.IGNORECASE))


def _unmasked(name: str) -> str:
    return re.sub(r"[-_ ]masks?$", "", name, flags=re.IGNORECASE)


def _pair_key(item: Item) -> tuple[tuple[str, ...], str]:
    """The folders without those that tell image from mask, and the name without the words that do."""
    folder = []
    for part in map(_unmasked, item.folder):
        if squeeze(part) not in _MASK_FOLDERS | _IMAGE_FOLDERS:
            folder.append(part)
        elif part.endswith(("Tr", "Ts")):
            folder.append(part[-2:])  # nnU-Net's labelsTr mark imagesTr, and labelsTs imagesTs
    return tuple(folder), re.sub(r"_0000$", "", base_of(item.stem))
