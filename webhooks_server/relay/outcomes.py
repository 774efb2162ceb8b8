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
from webhooks_server.relay.guard import BlockedAddressError
from webhooks_server.relay.target import UnsendableError

_THROTTLES = frozenset({408, 425, 429, 502, 503, 504})
_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_WAY_OUT = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_UNREACHABLE = _NO_WAY_OUT | {errno.EHOSTUNREACH}

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
# No receiver has a part in these, other than in a name server that is slow or fails for one name.
_OWN_NAME_PROBLEMS = frozenset({pycares.errno.ARES_ECONNREFUSED, pycares.errno.ARES_ENOMEM})
_TIMEOUTS = {
    Stage.RESOLVING: (Outcome.DNS_ERROR, "dns_error: the host name was not resolved in time"),
    Stage.CONNECTING: (Outcome.TIMEOUT, "connect_timeout: no connection in time"),
    Stage.TLS: (Outcome.TIMEOUT, "tls_timeout: no TLS session in time"),
    Stage.SENT: (Outcome.TIMEOUT, "timeout: no answer in time"),
}


class Verdict(NamedTuple):
    """An outcome, the words for it (success has none), and whether the fault is or may be ours."""

    outcome: Outcome
    error_message: str = ""
    is_ours: bool = False
    may_be_ours: bool = False


_SUCCEEDED = Verdict(Outcome.SUCCEEDED)
_BROKEN = Verdict(
    Outcome.CONNECTION_ERROR, "connection_reset: the connection broke before an answer"
)
_OWN_LIMIT_REACHED = Verdict(
    Outcome.CONNECTION_ERROR, "local_error: this relay could not open a connection", is_ours=True
)
_UNSENDABLE = Verdict(Outcome.INTERNAL, "internal: this request cannot be sent")
# The same words whatever the address is: they must not map our network for anybody.
_BLOCKED = Verdict(Outcome.BLOCKED_ADDRESS, "blocked_address: requests may not go to this address")


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
            return Verdict(*_TIMEOUTS[stage], may_be_ours=stage is Stage.RESOLVING)
        case aiohttp.ClientConnectorError():
            return _judge_connector_error(error, stage)
        case aiohttp.ClientConnectionError() if isinstance(error.__cause__, ssl.SSLError):
            return Verdict(Outcome.TLS_ERROR, "tls_error: the TLS session broke before an answer")
        case BlockedAddressError():
            return _BLOCKED
        case UnsendableError() | aiohttp.InvalidURL():
            return _UNSENDABLE
        case aiohttp.ClientConnectionError() | OSError():
            return _BROKEN if not _is_own_limit(error) else _OWN_LIMIT_REACHED
        case _:
            return Verdict(Outcome.PROTOCOL_ERROR, "protocol_error: the answer is not valid HTTP")


def _judge_connector_error(error: aiohttp.ClientConnectorError, stage: Stage) -> Verdict:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _judge_name_error(error)
    if stage is Stage.TLS:
        return Verdict(Outcome.TLS_ERROR, f"tls_error: {_tls_problem(error)}")
    return _judge_connect_error(error.os_error)


def _judge_connect_error(error: OSError) -> Verdict:
    number = error.errno
    if _is_own_limit(error):
        return _OWN_LIMIT_REACHED
    if number == errno.ECONNREFUSED:
        message = "connection_refused: nothing listens there"
    elif number in _UNREACHABLE:
        message = "connection_unreachable: there is no way to this address"
    else:
        message = "connection_reset: no connection came about"
    return Verdict(Outcome.CONNECTION_ERROR, message, may_be_ours=number in _NO_WAY_OUT)


def _is_own_limit(error: Exception) -> bool:
    """Tell whether this process or host is short of something, whatever the receiver does."""
    return isinstance(error, OSError) and error.errno in _OWN_LIMITS


def _judge_name_error(error: aiohttp.ClientConnectorDNSError) -> Verdict:
    if _is_own_limit(error.os_error):
        return _OWN_LIMIT_REACHED
    cause = error.os_error.__cause__
    number = cause.args[0] if isinstance(cause, aiodns.error.DNSError) else None
    problem = _NAME_PROBLEMS.get(number, "the host name was not resolved")
    return Verdict(
        Outcome.DNS_ERROR,
        f"dns_error: {problem}",
        is_ours=number in _OWN_NAME_PROBLEMS,
        may_be_ours=number == pycares.errno.ARES_ETIMEOUT
        or isinstance(error.os_error, TimeoutError),
    )


def _tls_problem(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        if isinstance(found, ssl.SSLCertVerificationError):
            return _CERTIFICATE_PROBLEMS.get(found.verify_code, "the certificate is not valid")
    return "the TLS handshake failed"
