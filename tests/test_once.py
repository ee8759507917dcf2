"""``once``."""

from __future__ import annotations

from bounceclass.once import once


def test_a_property_is_worked_out_once() -> None:
    class Counted:
        times = 0

        @once
        def value(self) -> int:
            """How often it was asked for."""
            self.times += 1
            return self.times

    counted = Counted()
    assert (counted.value, counted.value, Counted().value) == (1, 1, 1)
    assert Counted.value.__doc__ == "How often it was asked for."
