"""Images as arrays and as files: the prepared store, fakes, sizes."""
