"""Who of those that sign in is an operator: sees the installation as a whole (keepline.records.api_keys.OPERATOR).

    python -m keepline_functions.operators --project P list
    python -m keepline_functions.operators --project P add|remove E-MAIL|USER-ID

It is the custom claim `operator: true` of a user of Firebase Authentication; what else is claimed of the user stays. Run it with
Google's application default credentials of somebody who may change users (roles/firebaseauth.admin).
Exit code 0: it is so. 1: it is not, and the last line says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import firebase_admin
from firebase_admin import auth, exceptions

CLAIM = "operator"
_HTTP_TIMEOUT_S = 30.0


class Operators:
    """Those of one project. Every call may raise firebase_admin's errors, of which `auth.UserNotFoundError` is one."""

    def __init__(self, app: firebase_admin.App) -> None:
        self._app = app

    def names(self) -> Iterator[str]:
        """Each operator's user id and e-mail address, in no order. It asks for all users, 1,000 at a time."""
        for user in auth.list_users(app=self._app).iterate_all():
            if (user.custom_claims or {}).get(CLAIM) is True:
                yield f"{user.uid} {user.email or '(no e-mail address)'}"

    def add(self, who: str) -> str:
        """Make a user an operator, from the next sign-in token on: within an hour, or at once after signing in again."""
        user = self._user(who)
        auth.set_custom_user_claims(user.uid, {**(user.custom_claims or {}), CLAIM: True}, app=self._app)
        return f"{user.uid} is an operator. It holds from the next sign-in on, and within an hour without one."

    def remove(self, who: str) -> str:
        """No operator any more. The tokens that still say so are revoked: the API refuses them at once."""
        user = self._user(who)
        claims = {name: value for name, value in (user.custom_claims or {}).items() if name != CLAIM}
        auth.set_custom_user_claims(user.uid, claims, app=self._app)
        auth.revoke_refresh_tokens(user.uid, app=self._app)
        return (
            f"{user.uid} is no operator and has to sign in again. The API refuses earlier tokens; Firestore's rules cannot"
            " know of it, and let them read for up to an hour."
        )

    def _user(self, who: str) -> auth.UserRecord:
        return auth.get_user_by_email(who, app=self._app) if "@" in who else auth.get_user(who, app=self._app)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m keepline_functions.operators", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--project", required=True, help="the Google Cloud project")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show who is an operator")
    for name, does in (("add", "make somebody an operator"), ("remove", "undo it")):
        commands.add_parser(name, help=does).add_argument("who", help="an e-mail address, or the id of a user")
    given = parser.parse_args(arguments)
    options = {"projectId": given.project, "httpTimeout": _HTTP_TIMEOUT_S}
    app = firebase_admin.initialize_app(options=options, name=__name__)
    operators = Operators(app)
    try:
        if given.command == "list":
            lines = sorted(operators.names()) or ["Nobody is an operator."]
        else:
            lines = [operators.add(given.who) if given.command == "add" else operators.remove(given.who)]
    except (exceptions.FirebaseError, ValueError) as error:
        # firebase-admin's sentences name what is missing: a user, a right, credentials.
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        firebase_admin.delete_app(app)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
