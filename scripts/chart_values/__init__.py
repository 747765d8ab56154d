"""values.schema.json and the tables of the chart's README: from values.yaml, its comments and the program's schema."""
