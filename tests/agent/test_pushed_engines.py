from collector.otlp.ksana_table import METRICS, ROWS
from watchkeeper.agent.engines_page import engines_page
from watchkeeper.agent.pushed_engines import pushed
from watchkeeper.core.vocabulary import engines


def test_the_page_of_engines_tells_every_name_that_is_read_from_a_push() -> None:
    page = engines_page(())

    assert [row.name for row in ROWS if f"`{row.name}`" not in page] == []
    assert {row.metric for table in pushed() for row in table.rows} == set(METRICS) - {engines.ENGINE_UP}


def test_only_names_that_differ_by_their_unit_stand_in_for_each_other() -> None:
    [table] = pushed()
    alternatives = [[source.name for source in row.sources] for row in table.rows if len(row.sources) > 1]

    assert alternatives
    assert all({name[:-3] for name in names} == {names[0][:-3]} for names in alternatives)
    assert len([row for row in table.rows if row.metric == engines.PREEMPTIONS]) == 2
