"""Commands that change the fleet's database, and what all commands on it share."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from edge_reid.commands.gallery_changes import opened
from edge_reid.errors import UserError

if TYPE_CHECKING:
    from psycopg import Connection

    from edge_reid.bundle import Bundle

PASSWORD_VARIABLE = "EDGE_REID_NEW_PASSWORD"


@dataclass(frozen=True, kw_only=True)
class OnFleet:
    """What every command on the fleet is told."""

    address: Positional[str]
    """postgresql://USER@HOST/DATABASE; the password comes from PGPASSWORD or from the file that PGPASSFILE names."""

    @contextlib.contextmanager
    def connected(self, *, bare: bool = False) -> Iterator[Connection[Any]]:
        """A connection; what goes wrong within is told in one line."""
        from edge_reid.fleet.address import Address, connected

        with connected(Address.read(self.address), bare=bare) as connection:
            yield connection


@dataclass(frozen=True, kw_only=True)
class Migrate(OnFleet):
    """Make the fleet's tables, or bring them up to date, and let a bundle's model in."""

    bundle: Path | None = None
    """Bundle whose vectors the fleet is to hold; the one that the project carries when not given."""
    citus: bool = False
    """Spread the tables over the servers of Citus, by site."""

    def run(self) -> None:
        """Print what was done."""
        from edge_reid.bundle import Bundle
        from edge_reid.fleet.schema import add_space, migrate, spread
        from edge_reid.reference import bundle_path

        bundle = Bundle.open(self.bundle or bundle_path())
        with self.connected(bare=True) as connection:
            applied = migrate(connection)
            if self.citus:
                spread(connection)
            new = add_space(connection, bundle.space, bundle.manifest.embedding_dim)
        print(f"applied: {', '.join(applied) or 'nothing, all was up to date'}")
        print(f"model {bundle.space}: {'added, with an index for each modality' if new else 'was there'}")


@dataclass(frozen=True, kw_only=True)
class Admit(OnFleet):
    """Let a device of a site log in, or an operator of a site or of all ('*')."""

    who: Positional[str]
    """SITE/DEVICE for a device, SITE or '*' for an operator."""
    login: str
    """Its role in PostgreSQL, made if it is missing."""
    certificate: bool = False
    """It shows a client's certificate, so there is no password."""

    def run(self) -> None:
        """Ask for a password and print what the role is."""
        from edge_reid.fleet.admission import admit
        from edge_reid.fleet.records import checked

        site, slash, device = self.who.partition("/")
        if site != "*" or slash:
            checked("site", site)
        if slash:
            checked("device", device)
        with self.connected() as connection:
            new = admit(connection, self.login, site, device or None, None if self.certificate else _new_password())
        kind = f"device {device} of {site}" if device else f"operator of {'all sites' if site == '*' else site}"
        print(f"{self.login}: {'new, ' if new else ''}{kind}")


@dataclass(frozen=True, kw_only=True)
class Merge(OnFleet):
    """Say that two people of galleries are one human being."""

    one: Positional[str]
    """SITE/DEVICE/NUMBER or SITE/NAME."""
    other: Positional[str]
    """The same of another."""
    undo: bool = False
    """They are not, after all."""

    def run(self) -> None:
        """Print who is the same now."""
        from edge_reid.fleet import people

        with self.connected() as connection:
            one, other = people.find(connection, self.one), people.find(connection, self.other)
            people.merge(connection, one, other, undo=self.undo)
            print(f"the same: {', '.join(map(str, people.same_people(connection, one)))}")


@dataclass(frozen=True, kw_only=True)
class FleetForget(OnFleet):
    """Leave nothing of somebody in the fleet, and have every device forget them that knows them."""

    who: Positional[str]
    """SITE/DEVICE/NUMBER or SITE/NAME."""

    def run(self) -> None:
        """Print how many people of galleries that were."""
        from edge_reid.fleet import people

        with self.connected() as connection:
            count = people.forget(connection, people.find(connection, self.who))
        print(
            f"forgotten: {count} people of galleries; `edge-reid fleet status` says which devices have yet to confirm"
        )


@dataclass(frozen=True, kw_only=True)
class Expire(OnFleet):
    """Forget whose time has come, by the server's clock; to be run every hour."""

    def run(self) -> None:
        """Print how many."""
        from edge_reid.fleet import people
        from edge_reid.fleet import statements as sql

        with self.connected() as connection, connection.transaction():
            gone = connection.execute(sql.EXPIRE_PEOPLE).rowcount
            sightings = connection.execute(sql.EXPIRE_SIGHTINGS).rowcount
            people.note(connection, None, "expire", None, gone)
        print(f"expired: {gone} people, {sightings} sightings of others")


@dataclass(frozen=True, kw_only=True)
class Rebuild(OnFleet):
    """Make a new model's vectors of the pictures in the fleet; goes on where it was stopped."""

    bundle: Path
    """Bundle of the new model."""

    def run(self) -> None:
        """Print how many were made, and of how many there is no picture."""
        from edge_reid.bundle import Bundle
        from edge_reid.fleet.rebuild import rebuild
        from edge_reid.gallery.enrolment import open_embed
        from edge_reid.types import MODALITIES

        bundle = Bundle.open(self.bundle)
        with self.connected() as connection, contextlib.ExitStack() as stack:
            space, _ = space_of(connection, bundle)
            embed = {modality: stack.enter_context(open_embed(bundle, modality)) for modality in MODALITIES}
            made = rebuild(connection, space, embed)
        print(f"made: {made.done} vectors of {bundle.space}")
        if made.without_picture or made.unreadable:
            print(
                f"not made: {made.without_picture} of which there is no picture, {made.unreadable} whose picture is "
                "damaged; these people are found again when a camera has seen them"
            )


@dataclass(frozen=True, kw_only=True)
class Sync(OnFleet):
    """Send what a gallery's file has to tell, and forget whom the fleet forgets; the app does so by itself."""

    file: Positional[Path]
    """The gallery."""
    key: Path | None = None
    """File with the key of an encrypted gallery; EDGE_REID_GALLERY_KEY when not given."""
    watch: bool = False
    """Go on until Ctrl-C."""
    within: float = 60.0
    """Seconds after which it gives up without --watch."""

    def run(self) -> None:
        """Print how it went."""
        from edge_reid.fleet.address import Address
        from edge_reid.fleet.link import FleetLink

        address = Address.read(self.address)
        with opened(self.file, self.key) as gallery, contextlib.closing(FleetLink(gallery, address)) as link:
            before, latest = link.waiting, time.monotonic() + self.within
            while self.watch or ((link.waiting or link.heard is None) and time.monotonic() < latest):
                time.sleep(0.05)
            if link.waiting or link.heard is None:
                raise UserError(f"{self.file}: {link.waiting} changes wait; {link.problem or 'the fleet is slow'}")
        print(f"{self.file}: the fleet knows all of it, {before} changes were sent")


def space_of(connection: Connection[Any], bundle: Bundle) -> tuple[int, int]:
    """The number of a bundle's model in the fleet, and the length of its vectors.

    Raises:
        UserError: the fleet does not have it.
    """
    from edge_reid.fleet.push import space_number

    dimension = bundle.manifest.embedding_dim
    return space_number(connection, bundle.space, dimension), dimension


def moment(seconds: float) -> str:
    """A time as the machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _new_password() -> str:
    """From the environment or from the keyboard, never from the command line."""
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None and sys.stdin.isatty():
        password = getpass.getpass("new password: ")
    if not password:
        raise UserError(f"--login: give its password in {PASSWORD_VARIABLE} or at the prompt, or say --certificate")
    return password
