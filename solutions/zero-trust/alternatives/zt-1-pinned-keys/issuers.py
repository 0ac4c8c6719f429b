import base64

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def number(text):
    """A big-endian number in base64url, as JSON Web Keys hold them."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def pem(key):
    """A JSON Web Key of the curve P-256 as PEM."""
    public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


for cloud in lab.clouds.values():
    lab.vault.write_data(
        f"auth/jwt-{cloud.name}/config",
        data={
            "jwt_validation_pubkeys": [pem(key) for key in cloud.public_keys()],
            "bound_issuer": cloud.issuer,
            "jwt_supported_algs": ["ES256"],
        },
    )
