"""Mail: one message per person, as plain text with a small HTML alternative.

Options: `host`; `port` (25, or 465 with tls = "implicit", 587 with "starttls"); `from`; `tls` ("none",
"starttls" or "implicit"); `user` and `password`, written as { env = "NAME" }; `timeout` ("10s").

Every attempt of one message has the same Message-ID, so a mailbox can drop a duplicate, and all messages
about one alert are one thread.
"""

import hashlib
import re
import smtplib
import ssl
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from html import escape

from alerting.alert import Kind, Notification
from alerting.channels._options import Options
from alerting.ports import PermanentError, TransientError
from plant.model import ChannelConfig

ADDRESSED = True

_KNOWN = ("host", "port", "from", "tls", "user", "password", "timeout")
_PORTS = {"none": 25, "starttls": 587, "implicit": 465}
_ADDRESS = re.compile(r"[^@\s<>,;:\"\\\x00-\x1f\x7f]+@[^@\s<>,;:\"\\\x00-\x1f\x7f]+")


def check(config: ChannelConfig) -> list[str]:
    """What is wrong with the options, each with the fix."""
    options = Options(config, _KNOWN)
    for name, example in (("host", "mail.example.com"), ("from", "Lineside <lineside@example.com>")):
        if options.text(name) is None and name not in config.options:
            options.wrong(name, f'is missing; write {name} = "{example}"')
    sender = options.text("from")
    if sender is not None and not is_address(parseaddr(sender)[1]):
        options.wrong("from", f'is "{sender}", not a mail address; write from = "lineside@example.com"')
    tls = options.text("tls")
    if tls is not None and tls not in _PORTS:
        options.wrong("tls", f'is "{tls}"; use one of {", ".join(_PORTS)}')
    if (options.text("user") is None) != (options.text("password") is None):
        options.wrong("user", "goes together with password; give both or neither")
    if "password" in config.options and tls in (None, "none"):
        options.wrong("password", 'would travel in the clear; write tls = "starttls" or tls = "implicit"')
    options.number("port", 1, 65535)
    options.duration("timeout")
    return options.errors


def create(config: ChannelConfig) -> "Mail":
    """The channel. Raises ValueError with what `check` finds."""
    errors = check(config)
    if errors:
        raise ValueError("; ".join(errors))
    options = Options(config, _KNOWN)
    tls = options.text("tls") or "none"
    return Mail(
        Server(
            host=options.text("host") or "",
            port=options.number("port", 1, 65535) or _PORTS[tls],
            tls=tls,
            user=options.text("user"),
            password=options.text("password"),
            timeout=options.duration("timeout") or timedelta(seconds=10),
        ),
        sender=options.text("from") or "",
    )


def is_address(text: str) -> bool:
    """Whether it is one bare mail address that can stand in an envelope and in a header."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The mail server and how to speak to it."""

    host: str
    port: int
    tls: str
    user: str | None
    password: str | None
    timeout: timedelta


class Mail:
    """`alerting.ports.Channel` over SMTP; a connection per message, which is what mail servers expect."""

    def __init__(self, server: Server, sender: str) -> None:
        self._server = server
        self._sender = sender

    def send(self, notification: Notification) -> str:
        """See `Channel`. The receipt names the Message-ID the server took."""
        addresses = tuple(r.address for r in notification.recipients)
        if not addresses:
            raise PermanentError("nobody to send it to: the plant file has no user for this step any more")
        for recipient in notification.recipients:
            if not is_address(recipient.address):
                raise PermanentError(f'user {recipient.id} has the mail address "{recipient.address}"')
        message = compose(notification, self._sender, addresses)
        try:
            with self._connect() as smtp:
                refused = smtp.send_message(message, to_addrs=addresses)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _answer(code, text) from error
        except smtplib.SMTPAuthenticationError as error:
            # Not about this message: it goes out once the password is put right.
            raise TransientError(f"{self._where()} refused the sign-in: {_said(error)}") from error
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _answer(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            raise PermanentError(f"{self._where()}: {error}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise TransientError(f"{self._where()}: {error or type(error).__name__}") from error
        note = f", refused for {', '.join(refused)}" if refused else ""
        return f"accepted {message['Message-ID']}{note}"

    def close(self) -> None:
        """Nothing is held between messages."""

    def _connect(self) -> smtplib.SMTP:
        server, seconds = self._server, self._server.timeout.total_seconds()
        smtp: smtplib.SMTP
        if server.tls == "implicit":
            context = ssl.create_default_context()
            smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=seconds)
        try:
            if server.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if server.user is not None and server.password is not None:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _where(self) -> str:
        return f"mail server {self._server.host}:{self._server.port}"


def compose(notification: Notification, sender: str, addresses: tuple[str, ...]) -> EmailMessage:
    """The message (RFC 5322). Header values come from people and machines: they are one line each."""
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    message = EmailMessage()
    message["From"] = Address(display_name=_one_line(name), addr_spec=address)
    message["To"] = ", ".join(addresses)
    message["Subject"] = _one_line(notification.subject)
    message["Date"] = format_datetime(notification.created)
    message["Message-ID"] = f"<{_digest(notification.key)}@{domain}>"
    message["References"] = f"<{_digest(notification.alert)}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notification.text)
    message.add_alternative(_html(notification), subtype="html")
    return message


def _html(notification: Notification) -> str:
    colour = "#2b6a3f" if notification.kind is Kind.RESOLVED else "#8a2a1c"
    lines = [
        line for line in notification.text.splitlines() if line and notification.link not in line.split()
    ]
    rows = "".join(f'<tr><td style="padding:2px 12px">{escape(line)}</td></tr>' for line in lines)
    link = ""
    if notification.link:
        link = f'<p style="padding:0 12px"><a href="{escape(notification.link)}">Open the alert</a></p>'
    return (
        '<html><body style="font-family:sans-serif;color:#1d1d1f">'
        f'<h2 style="font-size:17px;padding:8px 12px;border-left:4px solid {colour}">'
        f"{escape(notification.subject)}</h2><table>{rows}</table>{link}</body></html>"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _answer(code: int, text: bytes | str) -> PermanentError | TransientError:
    """5xx: the server will never take it; 4xx: not now (RFC 5321, 4.2.1)."""
    said = f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return PermanentError(said) if code >= 500 else TransientError(said)


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
