"""All data of one call to one list of drafts: every form of DATA, unique names, patients by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from secondread.discreet import stand_in
from secondread.errors import DataError, FormatError, LabelError
from secondread.formats import Header, contrast_of, find_scans, probe
from secondread.formats.header import KIND_OF_SUFFIX, READABLE, Found, suffix_of
from secondread.formats.read import split_source
from secondread.index.assemble import Item, Place, as_studies
from secondread.index.bids import is_bids, read_bids
from secondread.index.draft import Draft
from secondread.index.names import is_normal, is_picture, patient_of, role_of, split_of, stem_of
from secondread.index.sheet import read_images
from secondread.index.table import Index, Row
from secondread.index.tree import Tree, read_tree
from secondread.index.words import counted

Progress = Callable[[str, int, int], None]

TABLE_SUFFIXES = frozenset({".csv", ".tsv"})


def gather(
    data: Sequence[Path], normal: Sequence[str] = (), progress: Progress | None = None
) -> tuple[list[Draft], list[Row], list[str]]:
    """Read the names, not the files, of all data.

    Returns:
        Drafts with unique names; rows of indexes among the data; notes.

    Raises:
        DataError: a path that does not exist, or is no form of data.
        LabelError: see ``sheet``, ``bids`` and ``tree``; one file listed with two labels.
    """
    notes: list[str] = []
    trees: list[Tree] = []
    rows: list[Row] = []
    loose: list[Found] = []
    for done, path in enumerate(map(_absolute, data)):
        if progress:
            progress("finding scans", done, len(data))
        if path.is_dir() and is_bids(path):
            drafts, more = read_bids(path, items_below(path))
            trees.append(Tree(path.name, "classes", tuple(drafts), tuple(more)))
        elif path.is_dir() and (path / "spec.json").is_file() and (path / "cases").is_dir():
            raise DataError(
                f"{path} holds packed scans: give the scans that they were packed from, or the index.parquet of their "
                f"run; what secondread pack wrote can be trained on, alone"
            )
        elif path.is_dir():
            trees.append(read_tree(path, items_below(path), normal))
            notes += _unread_tables(path)
        elif not path.exists():
            raise DataError(f"{path} does not exist")
        elif path.suffix.lower() == ".parquet":
            index = Index.load(path)
            rows += index.all_rows()
            notes += index.notes
        elif path.suffix.lower() in TABLE_SUFFIXES:
            trees.append(Tree(path.stem, "classes", tuple(read_images(path)), ()))
        elif suffix_of(path) in KIND_OF_SUFFIX:
            loose.append(Found(str(path)))
        else:
            raise DataError(f"{path} is no folder, CSV, index (.parquet) or scan; scans are {READABLE}")
    if loose:
        trees.append(_tree_of_files(loose))
    notes += [note for tree in trees for note in tree.notes]
    trees, said = _name_roots(trees, normal)
    drafts, more = _once_each([draft for tree in trees for draft in tree.drafts], rows)
    names = {_writable(draft.study): _writable(tree.name) for tree in reversed(trees) for draft in tree.drafts}
    return _unique([_with_patient(_in_utf8(draft)) for draft in drafts], rows, names), rows, [*notes, *said, *more]


def _tree_of_files(loose: Sequence[Found]) -> Tree:
    """Files given one by one: those of one folder may be contrasts of one study, those of two folders never are."""
    top = Path(os.path.commonpath([Path(found.source).parent for found in loose]))
    folders: dict[Path, list[Item]] = {}
    for found in loose:
        folders.setdefault(Path(found.source).parent, []).append(_item(found, top, 0))
    drafts: list[Draft] = []
    notes: list[str] = []
    for folder, items in folders.items():
        more, said = as_studies(items, "/".join(folder.relative_to(top).parts), Place())
        drafts += [replace(draft, study=draft.study or folder.name) for draft in more]
        notes += said
    return Tree("files", "classes", tuple(drafts), tuple(notes))


def _unread_tables(folder: Path) -> list[str]:
    tables = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in TABLE_SUFFIXES)
    if not tables:
        return []
    return [f"{folder.name} holds {', '.join(tables[:3])}, not read: give the table as data, or with --labels."]


def items_below(root: Path) -> list[Item]:
    """Everything readable below a folder. Raises FormatError for no folder, ResourceError where it may not be read."""
    numbers: Counter[Path] = Counter()
    items = []
    for found in find_scans(root):
        path = split_source(found.source)[0]
        numbers[path] += 1
        items.append(_item(found, root, numbers[path]))
    return items


def _item(found: Found, root: Path, number: int) -> Item:
    path, series = split_source(found.source)
    folder = path if path.is_dir() else path.parent
    stem = f"series{number}" if series else stem_of(path.name)
    header: Header | None = None
    if found.error is None and KIND_OF_SUFFIX.get(suffix_of(path), "dicom") == "dicom":
        # The names of DICOM files tell nothing; their headers do.
        try:
            header = probe(found.source)
        except FormatError as error:
            found = replace(found, error=error)
    return Item(
        source=Path(found.source),
        folder=folder.relative_to(root).parts,
        stem=stem,
        picture=is_picture(path),
        role="scan" if path.is_dir() or series else role_of(stem),
        contrast=header.contrast if header else contrast_of(stem),
        header=header,
        error=None if found.error is None else str(found.error),
    )


def _absolute(path: Path) -> Path:
    # Not resolved: a name that the user can find again, even where links lead elsewhere.
    path = path.expanduser()
    return path.resolve() if ".." in path.parts else path.absolute()


def _name_roots(trees: Sequence[Tree], normal: Sequence[str]) -> tuple[list[Tree], list[str]]:
    """What the folders' own names say: of several a split each, or a label each; of one that it is normal."""
    folders = [tree for tree in trees if tree.drafts and tree.name != "files"]
    splits = [split_of(tree.name) for tree in folders]
    if len(folders) > 1 and None not in splits and len(set(splits)) > 1:
        named = [_with(tree, split=split_of(tree.name)) for tree in trees]
        return named, [f"The folders given are splits by their names: {', '.join(tree.name for tree in folders)}."]
    plain = [tree for tree in folders if tree.shape in ("flat", "patients") and not _labelled(tree)]
    names = {tree.name for tree in plain}
    alone = len(plain) == len(folders) and len(names) > 1
    labelling = names if alone else {name for name in names if is_normal(name, normal)}
    if len(folders) == 1 and any(draft.mask for draft in folders[0].drafts):
        labelling = set()  # what has lesions outlined is not normal, whatever its folder is called
    if not labelling:
        return list(trees), []
    named = [_with(tree, label=tree.name) if tree in plain and tree.name in labelling else tree for tree in trees]
    which = "names of the folders given are labels" if len(folders) > 1 else "name of the folder given is a label"
    return named, [f"The {which}, where no table says otherwise."]


def _labelled(tree: Tree) -> bool:
    return any(draft.label for draft in tree.drafts)


def _with(tree: Tree, *, label: str | None = None, split: str | None = None) -> Tree:
    drafts = (replace(draft, split=draft.split or split) for draft in tree.drafts)
    return replace(tree, drafts=tuple(_labelled_as(draft, label, from_folder=True) for draft in drafts))


def _labelled_as(draft: Draft, label: str | None, *, from_folder: bool) -> Draft:
    """A draft that has no label with this one."""
    return draft if draft.label or not label else replace(draft, label=label, label_from_folder=from_folder)


def _once_each(drafts: Sequence[Draft], rows: Sequence[Row]) -> tuple[list[Draft], list[str]]:
    """Drafts without those whose first image was listed before. Raises LabelError for two labels of one image."""
    indexed = {os.path.realpath(image) for row in rows for image in row.images}
    first: dict[tuple[str, str | None], Draft] = {}
    labelled: dict[str, Draft] = {}
    out, again = [], 0
    for draft in drafts:
        if not draft.images:
            out.append(draft)
            continue
        image = os.path.realpath(draft.images[0])
        if draft.label is not None:
            other = labelled.setdefault(image, draft)
            if other.label != draft.label:
                raise LabelError(
                    f"{draft.images[0]} has two labels, {other.label!r} ({other.origin}) and {draft.label!r} "
                    f"({draft.origin}): keep one"
                )
        # One image on two sides of a given split stays twice, so that the split is seen to leak.
        key = (image, draft.split)
        if image in indexed or key in first:
            again += 1
        else:
            first[key] = draft
            out.append(draft)
    # The line that has a label speaks for one without.
    spoken = ((draft, _spokesman(draft, labelled)) for draft in out)
    out = [_labelled_as(d, o.label, from_folder=o.label_from_folder) if o else d for d, o in spoken]
    notes = [f"{counted(again, 'study was', 'studies were')} listed twice and taken once."] if again else []
    return out, notes


def _spokesman(draft: Draft, labelled: dict[str, Draft]) -> Draft | None:
    return labelled.get(os.path.realpath(draft.images[0])) if draft.images else None


def _with_patient(draft: Draft) -> Draft:
    """The patient by a known naming scheme, where the data name no other."""
    if draft.group_from not in ("study", "folder"):
        return draft
    path = "/".join([draft.study, *(stem_of(image.name) for image in draft.images[:1])])
    found = patient_of(path)
    if found is None:
        return draft
    scheme, patient = found
    return replace(draft, group=patient.group, group_from=scheme.lower(), site=draft.site or patient.site)


def _in_utf8(draft: Draft) -> Draft:
    """A file name that is no UTF-8 cannot stand in the table: its draft carries the reason instead of its files."""
    names = [draft.study, draft.label, draft.group, draft.site]
    if all(map(_is_utf8, (*filter(None, names), *map(str, draft.images), str(draft.mask)))):
        return draft
    study, (label, group, site) = _writable(draft.study), (name and _writable(name) for name in names[1:])
    return replace(
        draft,
        study=study,
        label=label,
        group=group,
        site=site,
        images=(),
        contrasts=(),
        headers=(),
        mask=None,
        reason="the name of its file or folder is not UTF-8: rename it",
        origin=study,
    )


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _writable(name: str) -> str:
    """With stand-ins for parts that are not UTF-8: whether they name a person cannot be told."""
    return "/".join(part if _is_utf8(part) else stand_in(part) for part in name.split("/"))


def _unique(drafts: Sequence[Draft], rows: Sequence[Row], roots: dict[str, str]) -> list[Draft]:
    """Names that no two studies share: by the file's suffix, then its root, then a number."""
    times = Counter(draft.study for draft in drafts) + Counter(row.study for row in rows)
    taken = {row.study for row in rows} | {name for name, n in times.items() if n == 1}
    out = []
    for draft in drafts:
        if times[draft.study] == 1:
            out.append(draft)
            continue
        suffix = suffix_of(draft.images[0]) if draft.images else ""
        root = roots.get(draft.study, "")
        tries = [draft.study, f"{draft.study}{suffix}", f"{root}/{draft.study}", f"{root}/{draft.study}{suffix}"]
        number = 2
        while tries[0] in taken:
            tries.pop(0)
            if not tries:
                tries.append(f"{draft.study} ({number})")
                number += 1
        taken.add(tries[0])
        out.append(replace(draft, study=tries[0]))
    return out
