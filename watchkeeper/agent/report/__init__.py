"""
What a period was like, on paper: `watchkeeper report drift | governance` and `watchkeeper evidence export | verify`.

`sources` reads what was observed, the references, and the store; `drift` and `attained` are arithmetic over it;
`record` is what is filed; pages are made from the record alone. `run` imports nothing of this. See docs/governance.md.
"""
