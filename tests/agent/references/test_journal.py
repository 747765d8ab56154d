from pathlib import Path

import pytest

from watchkeeper.agent.references import journal
from watchkeeper.agent.references.journal import Deed, Event


def event(deed: Deed, reference: str = "a", at: float = 1.0) -> Event:
    return Event(at, deed, "ana", "since it fits", reference, "default/chat/qwen", "refusal")


THREE = [event(Deed.PROPOSED, at=1.0), event(Deed.APPROVED, at=2.0), event(Deed.RETIRED, at=3.0)]


def test_what_was_appended_is_read_and_follows(tmp_path: Path) -> None:
    journal.append(tmp_path, THREE[:1])
    journal.append(tmp_path, THREE[1:])

    told = journal.read(tmp_path)

    assert told.problems == ()
    assert [one.deed for one in told.events] == [Deed.PROPOSED, Deed.APPROVED, Deed.RETIRED]
    assert told.retired == {"a"}


@pytest.mark.parametrize(
    ("harm", "lines"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"ana", b"eve"), lines[2]], [3]),
        (lambda lines: [lines[0], lines[2]], [2]),
        (lambda lines: lines[1:], [1]),
        (lambda lines: [lines[1], lines[0], lines[2]], [1, 2, 3]),
        (lambda lines: [lines[0], b"{}", lines[2]], [2, 3]),
        (lambda lines: [lines[0], b"", *lines[1:]], [2, 3]),
        (lambda lines: lines, []),
    ],
    ids=["changed", "removed", "first removed", "swapped", "overwritten", "put in between", "left alone"],
)
def test_a_line_that_is_not_as_it_was_written_shows(tmp_path: Path, harm, lines: list[int]) -> None:
    journal.append(tmp_path, THREE)
    path = tmp_path / journal.NAME
    path.write_bytes(b"".join(line + b"\n" for line in harm(path.read_bytes().splitlines())))

    problems = journal.read(tmp_path).problems

    assert [int(problem.partition("line ")[2].partition(":")[0]) for problem in problems] == lines


def test_an_unfinished_last_line_does_not_count_and_is_removed_by_the_next(tmp_path: Path) -> None:
    journal.append(tmp_path, THREE)
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes()[:-20])

    told = journal.read(tmp_path)
    assert ([one.deed for one in told.events], told.problems) == ([Deed.PROPOSED, Deed.APPROVED], ())
    journal.append(tmp_path, [event(Deed.IMPORTED, "b", 4.0)])

    told = journal.read(tmp_path)
    assert [one.deed for one in told.events] == [Deed.PROPOSED, Deed.APPROVED, Deed.IMPORTED]
    assert told.problems == ()


def test_approving_again_takes_a_retirement_back(tmp_path: Path) -> None:
    journal.append(tmp_path, [*THREE, event(Deed.APPROVED, at=4.0), event(Deed.IMPORTED, at=5.0)])

    assert journal.read(tmp_path).retired == frozenset()


def test_an_import_takes_no_retirement_back(tmp_path: Path) -> None:
    journal.append(tmp_path, [*THREE, event(Deed.IMPORTED, at=4.0), event(Deed.PROPOSED, at=5.0)])

    assert journal.read(tmp_path).retired == {"a"}


def test_what_comes_after_a_broken_line_still_counts(tmp_path: Path) -> None:
    journal.append(tmp_path, THREE)
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes().replace(b"ana", b"eve", 1))

    told = journal.read(tmp_path)

    assert len(told.problems) == 1
    assert told.retired == {"a"}
