"""The numbers of the images of a pyramid in several files."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import NamedTuple

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.natural import natural_key
from msroi_cli.io.pyramid.many.members import Members


class Numbering(NamedTuple):
    """Of each image its id, the number of the member that it is in, and its number there."""

    image_ids: list[str]
    owner: list[int]
    entry: list[int]

    @classmethod
    def of(cls, members: Members, where: Location) -> Numbering:
        """In natural order of ids; member after member where the images of one have an order of their own.

        Raises InputError for an id that two members have.
        """
        count = len(members.locations)
        if members.one_each:
            contents = [(False, [location.path.stem]) for location in members.locations]
        else:
            contents = [_contents(members, number) for number in range(count)]
        ids = [text for _, own in contents for text in own]
        owner = np.repeat(np.arange(count), [len(own) for _, own in contents])
        entry = np.concatenate([np.arange(len(own)) for _, own in contents])
        order = list(range(len(ids)))
        if not any(ordered for ordered, _ in contents):
            order.sort(key=lambda index: natural_key(ids[index]))
        found = cls([ids[index] for index in order], owner[order].tolist(), entry[order].tolist())
        found._refuse_duplicates(members, where)
        return found

    def images_in(self, members: Collection[int], most: int) -> list[int]:
        """The first images, at most so many, that are in some members."""
        return list(islice((image for image, number in enumerate(self.owner) if number in members), most))

    def _refuse_duplicates(self, members: Members, where: Location) -> None:
        first: dict[str, int] = {}
        for image, text in enumerate(self.image_ids):
            other = first.setdefault(text, image)
            if other != image:
                one, two = (members.locations[self.owner[index]] for index in (other, image))
                raise InputError(f"{where}: expected image ids that differ, got {text!r} in {one} and in {two}")


def _contents(members: Members, number: int) -> tuple[bool, list[str]]:
    """Whether the images of a member have an order of their own, and their ids."""
    with members.using(number) as pyramid:
        return pyramid.layout == "batched" and not pyramid.named_by_file, list(pyramid.image_ids)
