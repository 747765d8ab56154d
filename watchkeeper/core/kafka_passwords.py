"""
Passwords for kafka-python that are asked for at each connection. Its own clients keep for ever what they were made
with, and a member of a group that is made anew costs a rebalance.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from kafka.net.sasl import get_sasl_mechanism, register_sasl_mechanism

_PASSWORD: Final = "sasl_plain_password"  # noqa: S105 - the name of a setting
_taught: set[str] = set()


def asked_for_each_time(mechanism: str, password: Callable[[], str]) -> dict[str, Any]:
    """Settings of a client. Others of this process may still give theirs as text."""
    if mechanism not in _taught:
        _taught.add(mechanism)
        register_sasl_mechanism(mechanism, partial(_with_newest, get_sasl_mechanism(mechanism)), overwrite=True)
    return {"sasl_mechanism": mechanism, _PASSWORD: password}


def _with_newest(mechanism: Callable[..., Any], **settings: Any) -> Any:
    password = settings[_PASSWORD]
    return mechanism(**{**settings, _PASSWORD: password() if callable(password) else password})
