"""The one base class for everything that goes wrong in a way worth telling a person."""


class SimulatorError(Exception):
    """Something was asked for that cannot be done; `code` is stable, `message` is a sentence, `hint` the next step."""

    def __init__(self, code: str, message: str, hint: str = "", status: int = 400) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
        # The HTTP status that the control API answers with.
        self.status = status


class ProtocolError(SimulatorError):
    """A client broke the protocol (a frame, a node, a handshake); its connection is closed, nothing else happens."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=400)
