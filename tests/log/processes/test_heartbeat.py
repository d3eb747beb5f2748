import time
from pathlib import Path

from penstock.log.processes.heartbeat import Heartbeat


def gone(presence: Heartbeat) -> tuple[list[str], set[str]]:
    buried: list[str] = []
    return buried, presence.gone(buried.append)


def test_a_neighbour_that_beats_lives_and_one_that_does_not_is_buried_until_it_beats_again(tmp_path: Path) -> None:
    me, you = Heartbeat(tmp_path, 0.05), Heartbeat(tmp_path, 0.05)
    assert gone(me) == ([], {me.name, you.name})
    time.sleep(0.1)
    assert gone(me) == ([you.name], {me.name})
    you.beat()
    assert gone(me) == ([], {me.name, you.name})
    me.leave()
    you.leave()


def test_a_neighbour_that_died_is_buried_once_and_its_file_goes(tmp_path: Path) -> None:
    me = Heartbeat(tmp_path, 60)
    (tmp_path / "1-dead").touch()
    assert gone(me) == (["1-dead"], {me.name})
    assert gone(me) == ([], {me.name})
    me.leave()
    assert list(tmp_path.iterdir()) == []


def test_an_observer_that_cannot_remove_leaves_it_to_the_next(tmp_path: Path) -> None:
    me = Heartbeat(tmp_path, 60)
    (tmp_path / "1-dead").touch()

    def fail(_name: str) -> None:
        raise RuntimeError

    try:
        me.gone(fail)
    except RuntimeError:
        assert gone(me) == (["1-dead"], {me.name})
    me.leave()
