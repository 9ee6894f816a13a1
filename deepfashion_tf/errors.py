"""The one exception that stands for a mistake of the person at the keyboard."""


class InputError(Exception):
    """Says in one sentence what is wrong, where, and how to mend it.

    Scripts print its message without a traceback and exit with code 2.
    """
