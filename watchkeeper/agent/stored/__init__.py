"""The record from the command line: `watchkeeper findings` and `watchkeeper audit`, on the store of a configuration."""
