"""Certificates of an authority of the test's own: EC keys, valid for a day."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey, password: str | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@dataclass(frozen=True)
class Issued:
    """PEM files: the certificate, its key, and both in one."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates; `certificate` is the PEM file to trust."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._draft(self._name, self._key)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        signed = own.sign(self._key, hashes.SHA256())
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, password: str | None = None) -> Issued:
        """A certificate for 127.0.0.1, good for servers and clients; the password guards its key file."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._draft(_name(name), key).add_extension(hosts, critical=False).sign(self._key, hashes.SHA256())
        certificate = signed.public_bytes(serialization.Encoding.PEM)
        issued = Issued(*(self._folder / f"{name}.{part}.pem" for part in ("certificate", "key", "both")))
        issued.certificate.write_bytes(certificate)
        issued.key.write_bytes(_pem(key, password))
        issued.both.write_bytes(_pem(key) + certificate)
        return issued

    def _draft(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )
