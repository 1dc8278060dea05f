"""Where a server may listen: at this machine alone, unless clients have to send a token."""

from __future__ import annotations

import ipaddress
import os

from proml_kedro.errors import Mistake, UserError
from proml_kedro.serving.guard import TOKEN_VARIABLE


def refuse_without_token(host: str) -> None:
    """Refuse an address at which other machines can ask, unless the environment holds a token.

    Args:
        host: ``localhost``, or an address such as ``0.0.0.0``.

    Raises:
        UserError: There is no token, or it is no address.
    """
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            message = f"'{host}' is no address; write one such as 127.0.0.1 or 0.0.0.0"
            raise UserError(Mistake("", message, "option --host")) from error
    if not is_this_machine(host) and not os.environ.get(TOKEN_VARIABLE):
        message = f"other machines can ask there, so set {TOKEN_VARIABLE} to a token that clients have to send"
        raise UserError(Mistake("", message, f"option --host={host}"))


def is_this_machine(host: str) -> bool:
    """Tell whether a name or address is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
