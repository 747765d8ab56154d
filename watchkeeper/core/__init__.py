"""Ground floor: records, interfaces, errors, labels, inbox, vocabulary. Imports nothing of ours."""
