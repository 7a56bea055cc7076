"""A study: variants of the experiment, each with several seeds, as DVC experiments."""
