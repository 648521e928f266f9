"""Sign-in tokens of Firebase Authentication, and App Check tokens of the apps that people sign in from."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

from keepline.domain.errors import Unavailable
from keepline.usecases.access import SignedIn, bad_app_check, bad_token

_APP_NAME = "keepline"
_HTTP_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class FirebaseTokens:
    """Verifies ID tokens: signature, audience, expiry, and that neither the token nor its user was revoked since."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._app: Any = None

    def __call__(self, token: str) -> SignedIn:
        """Who is behind a token; an operator's has the claim `operator: true`.

        Raises Unauthenticated (`bad_token`) and Unavailable (`auth_unavailable`).
        """
        # Half a second to import, and only a caller with such a token needs it.
        auth = importlib.import_module("firebase_admin.auth")
        try:
            claims = auth.verify_id_token(token, app=self._firebase_app(), check_revoked=True)
        except (auth.InvalidIdTokenError, auth.UserDisabledError, auth.UserNotFoundError):
            # Expired and revoked ones are kinds of InvalidIdTokenError.
            raise bad_token() from None
        except Exception as error:  # noqa: BLE001 - no certificates, no credentials, no network: whatever it is, nobody gets in
            # Its name only: firebase-admin puts the token into some of its messages.
            log.warning("a sign-in token could not be checked: %s", type(error).__name__)
            raise _unavailable() from None
        return SignedIn(claims["uid"], claims.get("operator") is True)

    def check_app(self, token: str) -> None:
        """An App Check token: signature, audience, issuer and expiry, by Google's keys, which are kept for 6 hours.

        Raises Unauthenticated (`bad_app_check`) and Unavailable (`auth_unavailable`).
        """
        app_check, jwt = importlib.import_module("firebase_admin.app_check"), importlib.import_module("jwt")
        try:
            app_check.verify_token(token, app=self._firebase_app())
        except jwt.PyJWKClientConnectionError as error:
            log.warning("an App Check token could not be checked: %s", type(error).__name__)
            raise _unavailable() from None
        except (ValueError, jwt.PyJWTError):
            raise bad_app_check() from None
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("an App Check token could not be checked: %s", type(error).__name__)
            raise _unavailable() from None

    def _firebase_app(self) -> Any:
        with self._lock:
            if self._app is None:
                firebase_admin = importlib.import_module("firebase_admin")
                options = {"projectId": self._project, "httpTimeout": _HTTP_TIMEOUT_S}
                self._app = firebase_admin.initialize_app(options=options, name=_APP_NAME)
            return self._app


def _unavailable() -> Unavailable:
    return Unavailable("auth_unavailable", "Sign-in tokens cannot be checked at this moment.", "Try again in a second.")
