"""What goes wrong for a person at the terminal."""


class StackError(Exception):
    """The stack cannot do what was asked for; the message says why and what to do."""


class SettingError(StackError):
    """A value cannot be used; the message names the variable, the option or the file."""
