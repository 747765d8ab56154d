"""
Causes: what moved with a finding, ranked. No clock, no I/O; times are unix seconds handed in. See docs/causes.md.

`candidates` lists the quantities, `table` the causes that are told by them, `scope` which series belong to a finding,
`history` keeps 90 minutes of every quantity, `versions` the changes that are facts, `moves` compares before and after
an onset, `rank` puts it together. The agent's `Explainer` feeds and asks them.
"""
