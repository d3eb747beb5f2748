"""What an area promises. ``lived`` is one with something of everything that it knows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock.system.interface import Area
from penstock.system.messages import SHARED, Command, Message


class AreaContract:
    decides = True  # it has commands

    def new(self) -> Area:
        raise NotImplementedError

    def life(self) -> Sequence[Message]:
        """Messages as the log may hold them, something of everything."""
        raise NotImplementedError

    def command(self) -> Command:
        """One that can be granted, and was not asked for in ``life``."""
        raise NotImplementedError

    @pytest.fixture
    def lived(self) -> Area:
        area = self.new()
        for message in self.life():
            area.apply(message)
        assert area != self.new()
        return area

    def restored(self, area: Area) -> Area:
        again = self.new()
        again.restore(area.save())
        return again

    def test_what_is_saved_is_restored(self, lived: Area) -> None:
        assert self.restored(lived) == lived, "all of it is in what is saved"
        assert self.restored(self.new()) == self.new()

    def test_a_snapshot_anywhere_changes_nothing(self, lived: Area) -> None:
        life = self.life()
        for place in range(len(life)):
            area = self.new()
            for message in life[:place]:
                area.apply(message)
            area = self.restored(area)
            for message in life[place:]:
                area.apply(message)
            assert area == lived, f"saved before message {place}"

    def test_a_message_read_again_changes_nothing(self, lived: Area) -> None:
        again = self.restored(lived)
        for message in self.life():
            if not isinstance(message, Command):
                again.apply(message)
        assert again == lived

    def test_what_is_decided_ahead_leaves_it_as_it_is(self, lived: Area) -> None:
        if not self.decides:
            pytest.skip("this area has no commands")
        before, ahead = self.restored(lived), lived.ahead()
        for event in ahead.decide(self.command(), now=7):
            ahead.apply(event)
        assert ahead.decide(self.command(), now=7) == (), "answered once"
        assert lived == before

    def test_ahead_decides_as_the_area_itself(self, lived: Area) -> None:
        if not self.decides:
            pytest.skip("this area has no commands")
        assert lived.ahead().decide(self.command(), now=7) == lived.decide(self.command(), now=7) != ()

    @pytest.mark.parametrize("saved", [b"", b"\xc1", b"\x80", b"{}"])
    def test_what_is_no_image_changes_nothing(self, lived: Area, saved: bytes) -> None:
        before = self.restored(lived)
        with pytest.raises(ValueError, match=r".+"):
            lived.restore(saved)
        assert lived == before

    def test_its_messages_are_its_own(self) -> None:
        assert {type(message) for message in self.life()} <= {*self.new().messages, *SHARED}
