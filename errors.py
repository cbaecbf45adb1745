"""The one error a user can cause. Imports nothing, so every layer may raise it."""


class UserError(ValueError):
    """Something a user can mend, said in one sentence: what was wrong, where, and what to do.

    The command line prints the sentence without a trace and exits with 2; ComfyUI shows it on the
    node that raised it.
    """
