"""What a change of a device's connection means for its roles: sending, bearing witness, proving that WhatsApp answers."""

from __future__ import annotations

from dataclasses import dataclass

from keepline.domain import link_events as link
from keepline.usecases.proving_life import ProofOfLife
from keepline.usecases.speaking import Speaker
from keepline.usecases.witnessing import Witness


@dataclass(frozen=True)
class DeviceRoles:
    """Of one device."""

    speaker: Speaker
    witness: Witness
    proof: ProofOfLife

    def tell(self, event: link.StateEvent) -> None:
        """The connection's state has changed."""
        self._tell_witness(event)
        self._tell_proof(event)
        self._tell_speaker(event)

    def _tell_witness(self, event: link.StateEvent) -> None:
        match event:
            case link.CaughtUp():
                self.witness.caught_up()
            case link.Connected() | link.Stalled() | link.Resumed() | link.Paired() | link.PairingCode():
                pass
            case _:
                self.witness.disconnected()

    def _tell_proof(self, event: link.StateEvent) -> None:
        match event:
            case link.Connected() | link.Resumed():
                self.proof.connected()
            case link.CaughtUp() | link.Paired() | link.PairingCode():
                pass
            case _:
                self.proof.disconnected()

    def _tell_speaker(self, event: link.StateEvent) -> None:
        match event:
            case link.Connected() | link.Resumed():
                self.speaker.connected()
            case link.CaughtUp():
                self.speaker.caught_up()
            case link.Stalled():
                self.speaker.stalled()
            case link.PairingCode() | link.Paired() | link.PairingEnded():
                pass
            case link.Banned(code=code, expires_in_s=lasts_s):
                self.speaker.banned(code, lasts_s)
                self.speaker.disconnected()
            case _:
                self.speaker.disconnected()
