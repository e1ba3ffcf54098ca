"""Commands that change a gallery's file, and what all commands on it share."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from edge_reid.errors import UserError

if TYPE_CHECKING:
    from edge_reid.gallery.records import Person
    from edge_reid.gallery.sqlite import SqliteGallery


@dataclass(frozen=True, kw_only=True)
class OnFile:
    """What every command on a gallery is told."""

    file: Positional[Path]
    """The gallery."""
    key: Path | None = None
    """File with the key of an encrypted gallery; EDGE_REID_GALLERY_KEY when not given."""


@dataclass(frozen=True, kw_only=True)
class Enrol(OnFile):
    """Add someone by pictures: to who has the name, or as someone new; makes the gallery where there is none."""

    name: Positional[str]
    """The person's."""
    visible: tuple[Path, ...] = ()
    """Pictures of the person alone, cut out; a folder stands for all that are in it."""
    thermal: tuple[Path, ...] = ()
    """The same in the thermal view."""
    bundle: Path | None = None
    """Bundle whose networks the gallery belongs to; the one that the project carries when not given."""
    detector: str | None = None
    """Cut the person out of whole pictures with hog, hot or onnx:FILE."""
    keep_crops: bool = False
    """Store the pictures beside the vectors."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        """Print the number, and who looks the same."""
        from edge_reid.bundle import Bundle
        from edge_reid.gallery.enrolment import find_lookalike, open_embed, pictures_of, read_shot, single_prototypes
        from edge_reid.gallery.records import checked_name
        from edge_reid.reference import bundle_path
        from edge_reid.types import Modality

        pictures: dict[Modality, tuple[Path, ...]] = {"visible": self.visible, "thermal": self.thermal}
        if not any(pictures.values()):
            raise UserError("--visible or --thermal: at least one picture is needed")
        checked_name(self.name)
        bundle = Bundle.open(self.bundle or bundle_path())
        size, rule = bundle.manifest.input_size, bundle.manifest.matching
        prototypes, crops = [], []
        for modality, paths in pictures.items():
            if shots := [read_shot(path, modality, size, self.detector) for path in pictures_of(paths)]:
                with open_embed(bundle, modality) as embed:
                    prototypes += single_prototypes(shots, modality, embed, time.time())
                crops += [shot.jpeg() for shot in shots]
        model = (bundle.space, bundle.manifest.embedding_dim)
        with opened(self.file, self.key, model, keep_crops=self.keep_crops) as gallery:
            lookalike = find_lookalike(gallery, prototypes, rule, self.name)
            person = gallery.person(gallery.enrol(self.name, prototypes, crops))
        if self.json:
            print(json.dumps({**asdict(person), "lookalike": lookalike and asdict(lookalike)}))
            return
        kept = ", ".join(f"{count} {modality}" for modality, count in person.prototypes.items())
        print(f"{self.file}: person {person.number} ({person.name}): {kept}")
        if lookalike is not None:
            print(lookalike)


@dataclass(frozen=True, kw_only=True)
class Rename(OnFile):
    """Give a person a name, or another one."""

    who: Positional[str]
    """Number or name."""
    name: Positional[str]
    """The new one."""

    def run(self) -> None:
        """Print who it is."""
        with opened(self.file, self.key) as gallery:
            person = find(gallery, self.file, self.who)
            gallery.rename(person.number, self.name)
            print(f"{self.file}: person {gallery.person(person.number).called}")


@dataclass(frozen=True, kw_only=True)
class Forget(OnFile):
    """Leave nothing of people in a gallery's file; exports and events are other files."""

    who: Positional[tuple[str, ...]]
    """Numbers or names."""

    def run(self) -> None:
        """Find all of them first, then forget."""
        if not self.who:
            raise UserError("forget: whom? give numbers or names")
        with opened(self.file, self.key) as gallery:
            people = dict.fromkeys(find(gallery, self.file, who).number for who in self.who)
            for number in people:
                gallery.forget(number)
        print(f"{self.file}: forgotten: {', '.join(f'person {number}' for number in people)}")


@dataclass(frozen=True, kw_only=True)
class ExportGallery(OnFile):
    """Write everyone into a file of JSON lines, not encrypted, that only its owner can read."""

    out: Positional[Path]
    """The file; it must not exist."""

    def run(self) -> None:
        """Print how many people."""
        if self.out.exists():
            raise UserError(f"{self.out} exists; choose another output")
        with opened(self.file, self.key) as gallery:
            count = gallery.export(self.out)
        print(f"{self.out}: {count} people, not encrypted")


@dataclass(frozen=True, kw_only=True)
class Import(OnFile):
    """Add everyone of an exported file, or nobody; makes the gallery where there is none."""

    export: Positional[Path]
    """What `edge-reid gallery export` wrote."""

    def run(self) -> None:
        """Print how many people, and whose number is another one here."""
        from edge_reid.gallery.exchange import read_header

        header = read_header(self.export)
        with opened(self.file, self.key, (header.space, header.dimension)) as gallery:
            numbers = gallery.import_(self.export)
        print(f"{self.file}: {len(numbers)} people more")
        if moved := [f"{there} is {here}" for there, here in numbers.items() if there != here]:
            print(f"numbers that were taken: {', '.join(moved)}")


@dataclass(frozen=True, kw_only=True)
class Key:
    """Make a key that encrypts a gallery; whoever loses it loses the gallery."""

    file: Positional[Path]
    """The file to write; it must not exist, and only its owner can read it."""

    def run(self) -> None:
        """Print where it lies."""
        from edge_reid.gallery.cipher import make_key

        make_key(self.file)
        print(f"{self.file}: a key; keep a copy where the gallery is not")


@contextlib.contextmanager
def opened(
    file: Path, key: Path | None, model: tuple[str, int] | None = None, *, keep_crops: bool = False
) -> Iterator[SqliteGallery]:
    """A gallery's file, complete when the context ends; with a model (space, dimension) a missing one is made.

    Raises:
        UserError: see `edge_reid.gallery.sqlite.SqliteGallery`.
    """
    from edge_reid.gallery.cipher import read_key
    from edge_reid.gallery.sqlite import SqliteGallery

    space, dimension = model or (None, None)
    gallery = SqliteGallery(
        file, space=space, dimension=dimension, key=read_key(key), keep_crops=keep_crops, actor=_user()
    )
    with contextlib.closing(gallery):
        yield gallery


def _user() -> str:
    try:
        return f"edge-reid gallery, {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"edge-reid gallery, {os.getuid()}"


def find(gallery: SqliteGallery, file: Path, who: str) -> Person:
    """The person with this number or, where nobody has it, this name: digits are a number first.

    Raises:
        UserError: there is none.
    """
    if who.isdecimal():
        with contextlib.suppress(KeyError):
            return gallery.person(int(who))
    if (number := gallery.named(who)) is None:
        raise UserError(f"{file}: nobody is {who}; `edge-reid gallery list {file}` says who is there")
    return gallery.person(number)
