"""What `watchkeeper doctor` has to say of one subject."""

from typing import NamedTuple


class Remark(NamedTuple):
    """`mark`: ok, note (nothing wrong, worth knowing) or bad (the operator must act)."""

    mark: str
    subject: str
    text: str
