from watchkeeper.core.inbox import Inbox


def test_what_is_accepted_comes_out_once_in_order() -> None:
    inbox: Inbox[int] = Inbox(capacity_bytes=100)

    accepted = [inbox.put(number, 10) for number in range(5)]

    assert accepted == [True] * 5
    assert list(inbox.take()) == [0, 1, 2, 3, 4]
    assert list(inbox.take()) == []


def test_a_full_inbox_refuses_and_keeps_what_it_holds() -> None:
    inbox: Inbox[str] = Inbox(capacity_bytes=10)
    inbox.put("kept", 8)

    assert not inbox.put("refused", 3)
    assert list(inbox.take()) == ["kept"]


def test_what_was_taken_counts_until_it_is_released() -> None:
    inbox: Inbox[str] = Inbox(capacity_bytes=10)
    inbox.put("being folded", 8)

    inbox.take()

    assert (len(inbox), inbox.size_bytes) == (1, 8)
    assert not inbox.put("refused", 3)
    assert inbox.put("meanwhile", 2)
    assert list(inbox.take()) == ["meanwhile"]
    assert (len(inbox), inbox.size_bytes) == (2, 10)
    inbox.release()
    assert (len(inbox), inbox.size_bytes) == (0, 0)
    assert inbox.put("after", 3)


def test_one_item_larger_than_the_capacity_passes_an_empty_inbox() -> None:
    inbox: Inbox[str] = Inbox(capacity_bytes=10)

    assert inbox.put("large", 50)
    assert not inbox.put("next", 1)


def test_a_closed_inbox_refuses_but_can_be_emptied() -> None:
    inbox: Inbox[str] = Inbox(capacity_bytes=10)
    inbox.put("before", 1)

    inbox.close()

    assert not inbox.put("after", 1)
    assert list(inbox.take()) == ["before"]
    inbox.release()
    assert inbox.size_bytes == 0
