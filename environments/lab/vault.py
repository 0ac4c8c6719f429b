"""Vault for notebooks: hvac clients, and refusals in Vault's own words instead of tracebacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from environments.errors import BadInputError

if TYPE_CHECKING:
    from hvac import Client
    from hvac.exceptions import VaultError


def connect(address: str, ca: Path, token: str = "") -> Client:
    """A client of the Vault at `address` that trusts the CA in the file `ca`; without a token it is nobody yet."""
    from hvac import Client  # noqa: PLC0415 - only who uses it pays for it

    return Client(url=address, token=token, verify=str(ca))


def log_in(client: Client, cloud: str, role: str, jwt: str) -> Client:
    """`client`, logged in at `jwt-<cloud>` as `role` with a workload's token.

    Raises:
        BadInputError: Vault refuses, with its reason.
    """
    from hvac.exceptions import VaultError  # noqa: PLC0415 - only who uses it pays for it

    try:
        client.auth.jwt.jwt_login(role=role, jwt=jwt, path=f"jwt-{cloud}")
    except VaultError as error:
        hint = "If it should have been let in, compare the token's claims with the role."
        raise BadInputError(f"Vault refused the login at jwt-{cloud} as {role}: {_reason(error)}", hint=hint) from None
    return client


def write_policy(client: Client, name: str, text: str) -> None:
    """Write the policy `name` (HCL).

    Raises:
        BadInputError: Vault refuses it, with its reason.
    """
    from hvac.exceptions import VaultError  # noqa: PLC0415 - only who uses it pays for it

    try:
        client.sys.create_or_update_policy(name=name, policy=text)
    except VaultError as error:
        hint = "Operators may write policies whose names begin with ml-."
        raise BadInputError(f"Vault refused the policy {name}: {_reason(error)}", hint=hint) from None


def _reason(error: VaultError) -> str:
    return "; ".join(str(part) for part in error.errors or [error])
