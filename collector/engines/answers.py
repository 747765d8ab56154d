"""What an answer that is no page means, and what to do about it."""

from collections.abc import Sequence

from collector._pages.fault import Fault, Refused
from collector._pages.fetch import Answer
from collector.engines.table import Table
from watchkeeper.core.labels import clean


def judge(answer: Answer, tables: Sequence[Table]) -> bytes:
    """
    The body of a page.

    :raises Refused: the status says that this is none, with what to do about it
    """
    status = answer.status
    if status == 200:
        return answer.body
    if status in (401, 403, 407):
        raise Refused(Fault.NOT_PERMITTED, f"answers {status}; give the token in `bearer_token_file` or `headers`")
    for table in tables:
        if table.off_mark and table.off_mark in answer.body:
            detail = f"answers {status}; {table.title} does not expose its page: {table.switch_on}"
            raise Refused(Fault.OFF, detail, engine=table.title)
    if status in (404, 405, 501):
        raise Refused(
            Fault.OFF, f"answers {status}: no metrics page here; set `path`, or switch it on ({hints(tables)})"
        )
    if 300 <= status < 400:
        where = clean(answer.location.partition("?")[0]) or "nowhere"  # a query may hold what is secret
        raise Refused(Fault.REDIRECTED, f"answers {status}, moved to {where}; put that into `url` if it is right")
    if status == 503:
        raise Refused(Fault.SERVER_ERROR, "answers 503; it is loading its model, or its metrics page is broken")
    if status >= 500:
        raise Refused(Fault.SERVER_ERROR, f"answers {status}; its metrics page is broken, it may still serve the model")
    raise Refused(Fault.HTTP_ERROR, f"answers {status}; check `url` and `path`")


def hints(tables: Sequence[Table]) -> str:
    """How to switch on the pages that are off unless asked for."""
    return "; ".join(f"{table.title}: {table.switch_on}" for table in tables if not table.on_by_default)
