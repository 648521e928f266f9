"""What can go wrong on one machine, said so that a person can act on it."""

from __future__ import annotations


class LocalError(Exception):
    """Something on this machine keeps a part from running.

    `hint` is the next step for the person at the keyboard; `log_tail` the last lines the failing part wrote.
    """

    def __init__(self, sentence: str, *, hint: str = "", log_tail: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.log_tail = log_tail

    def __str__(self) -> str:
        parts = [self.sentence]
        if self.hint:
            parts.append(self.hint)
        if self.log_tail:
            parts.append("The end of its log:\n" + self.log_tail)
        return "\n".join(parts)
