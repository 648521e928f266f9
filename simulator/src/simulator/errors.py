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


class QueryError(SimulatorError):
    """Something that the service refuses; `query_code` is the code with which a linked device's info query is answered."""

    def __init__(self, code: str, message: str, hint: str = "", status: int = 400, query_code: int = 0) -> None:
        super().__init__(code, message, hint, status)
        self.query_code = query_code or status


class ProtocolError(SimulatorError):
    """A client broke the protocol (a frame, a node, a handshake); its connection is closed, nothing else happens."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=400)
