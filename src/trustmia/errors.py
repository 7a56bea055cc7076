"""The one exception that is shown to a user as a single line."""


class UserError(Exception):
    """A mistake in the user's input, parameters or files.

    The message says what was wrong, where, what is allowed and what to run.
    Entry points print it as one line and exit with code 2.
    """
