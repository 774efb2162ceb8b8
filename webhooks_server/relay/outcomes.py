"""What an answer or an error means (api.md 2.3, reliability.md 5): pure, and in fixed words only.

Callers read these words. They begin with the finer class and never carry the text of an exception,
which could tell more of our network than a caller may know.
"""

import errno
import ssl
from typing import NamedTuple

import aiodns
import aiohttp
import pycares

from webhooks_server.domain.delivery import Outcome
from webhooks_server.relay.exchange import Stage
from webhooks_server.relay.target import UnsendableError

_THROTTLES = frozenset({408, 425, 429, 502, 503, 504})
_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})

# OpenSSL's X509_V_ERR numbers.
_CERTIFICATE_PROBLEMS = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate is self-signed",
    20: "the issuer of the certificate is not known",
    21: "the issuer of the certificate is not known",
    62: "the certificate is for another host",
    64: "the certificate is for another host",
}
_NAME_PROBLEMS = {
    pycares.errno.ARES_ENOTFOUND: "the host name does not exist",
    pycares.errno.ARES_ENODATA: "the host name has no address",
    pycares.errno.ARES_ESERVFAIL: "the name server failed",
    pycares.errno.ARES_ETIMEOUT: "the name server did not answer in time",
    pycares.errno.ARES_ECONNREFUSED: "the name server cannot be reached",
}
_TIMEOUTS = {
    Stage.RESOLVING: (Outcome.DNS_ERROR, "dns_error: the host name was not resolved in time"),
    Stage.CONNECTING: (Outcome.TIMEOUT, "connect_timeout: no connection in time"),
    Stage.TLS: (Outcome.TIMEOUT, "tls_timeout: no TLS session in time"),
    Stage.SENT: (Outcome.TIMEOUT, "timeout: no answer in time"),
}


class Verdict(NamedTuple):
    """An outcome and the words for it; success has none."""

    outcome: Outcome
    error_message: str = ""


_SUCCEEDED = Verdict(Outcome.SUCCEEDED)


def judge_status(status: int) -> Verdict:
    """Tell what a status means; whatever became of the rest of the answer."""
    match status // 100:
        case 2:
            return _SUCCEEDED
        case 3:
            message = f"redirect: answered {status}, and redirects are not followed"
            return Verdict(Outcome.REDIRECT, message)
        case 1 | 4 | 5:
            word = "throttle" if status in _THROTTLES else "failed"
            return Verdict(Outcome.HTTP_ERROR, f"{word}: answered {status}")
        case _:
            return Verdict(Outcome.PROTOCOL_ERROR, f"protocol_error: no HTTP status is {status}")


def judge_error(error: Exception, stage: Stage) -> Verdict:
    """Tell what an error before any answer means."""
    match error:
        case TimeoutError():
            return Verdict(*_TIMEOUTS[stage])
        case aiohttp.ClientConnectorDNSError():
            return Verdict(Outcome.DNS_ERROR, f"dns_error: {_name_problem(error)}")
        case aiohttp.ClientConnectorError() if stage is Stage.TLS:
            return Verdict(Outcome.TLS_ERROR, f"tls_error: {_tls_problem(error)}")
        case aiohttp.ClientConnectorError():
            return _judge_connect_error(error.os_error.errno)
        case aiohttp.ClientConnectionError() if isinstance(error.__cause__, ssl.SSLError):
            return Verdict(Outcome.TLS_ERROR, "tls_error: the TLS session broke before an answer")
        case UnsendableError() | aiohttp.InvalidURL():
            return Verdict(Outcome.INTERNAL, "internal: this request cannot be sent")
        case aiohttp.ClientConnectionError() | OSError():
            return Verdict(
                Outcome.CONNECTION_ERROR, "connection_reset: the connection broke before an answer"
            )
        case _:
            return Verdict(Outcome.PROTOCOL_ERROR, "protocol_error: the answer is not valid HTTP")


def _judge_connect_error(number: int | None) -> Verdict:
    if number in _OWN_LIMITS:
        message = "local_error: this relay could not open a connection"
    elif number == errno.ECONNREFUSED:
        message = "connection_refused: nothing listens there"
    elif number in _UNREACHABLE:
        message = "connection_unreachable: there is no way to this address"
    else:
        message = "connection_reset: no connection came about"
    return Verdict(Outcome.CONNECTION_ERROR, message)


def _name_problem(error: aiohttp.ClientConnectorDNSError) -> str:
    cause = error.os_error.__cause__
    number = cause.args[0] if isinstance(cause, aiodns.error.DNSError) else None
    return _NAME_PROBLEMS.get(number, "the host name was not resolved")


def _tls_problem(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        if isinstance(found, ssl.SSLCertVerificationError):
            return _CERTIFICATE_PROBLEMS.get(found.verify_code, "the certificate is not valid")
    return "the TLS handshake failed"
