"""E-mail over SMTP: how a message becomes a mail, and what each answer of the server means."""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from blocks.notify.address import is_loopback
from blocks.notify.contract import RemoteNotify
from blocks.notify.web import SAID_CHARACTERS_MAX, trust, untrusted
from roundsman.errors import Misread, Refused, RoundsmanError, Unready
from roundsman.permits import NotSent, Permit, effect
from roundsman.rules.messages import Message, Receipt
from roundsman.rules.plain_text import clean_line
from roundsman.rules.redaction import redact_text, register_secret
from roundsman.rules.windows import Probe

Security = Literal["starttls", "ssl", "none"]
PORTS: dict[Security, int] = {"starttls": 587, "ssl": 465, "none": 25}
TO_MAX = 50
ADDRESS_CHARACTERS_MAX = 254
OK, FORWARDED = 250, 251
FAREWELL_SECONDS = 2.0
PROBE_SECONDS = 10.0
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def _check_address(address: str) -> str:
    if len(address) > ADDRESS_CHARACTERS_MAX or not _ADDRESS.fullmatch(address):
        raise ValueError("is no mail address; write name@host, without a display name")
    return address


Address = Annotated[str, AfterValidator(_check_address)]


class EmailNotify(RemoteNotify):
    """People who are told by mail."""

    _block_type_name = "Notify by mail"
    _block_type_slug = "email-notify"
    _description = "An SMTP server that takes mail to some people."
    kind: ClassVar[str] = "email"

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="The SMTP server.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Its port; 587, 465 or 25 by 'security'."
    )
    security: Security = Field(default="starttls", description="starttls, ssl or none.")
    user: str | None = Field(default=None, description="The user, where the server wants one.")
    password: SecretStr | None = Field(default=None, description="The password of that user.")
    sender: Address = Field(description="The address that mails are from.")
    to: list[Address] = Field(min_length=1, max_length=TO_MAX, description="Who is told.")

    @model_validator(mode="after")
    def _is_consistent(self) -> EmailNotify:
        if (self.user is None) != (self.password is None):
            raise ValueError("needs 'user' and 'password' together")
        if self.user is not None and self.password is not None:
            if self.security == "none" and not is_loopback(self.host):
                raise ValueError("would send a password unencrypted; use starttls or ssl")
            # As it goes over the wire, where a server might repeat it.
            register_secret(f"\0{self.user}\0{self.password.get_secret_value()}")
        return self

    @property
    def place(self) -> str:
        """See the contract."""
        return f"mail server at '{self._server}'"

    @effect("once")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """See the contract; where only some addresses are refused, the receipt names them."""
        seconds = self.seconds()
        end = time.monotonic() + seconds
        mail = mail_of(message, self.sender, self.to)
        with self._connected(seconds) as smtp:
            refused = self._begin(smtp, end)
            said = self._hand_over(smtp, mail)
        if refused:
            said = f"{said}; not accepted for {'; '.join(refused)}"
        return Receipt(
            place=self.place, reference=mail["Message-ID"], said=said, at=datetime.now(UTC)
        )

    def probe(self) -> Probe:
        """See the contract; it logs in, where there is a user, and leaves again."""
        with self._connected(PROBE_SECONDS), self._before_content():
            pass
        notes = ["whether it takes mail shows only when one is sent"]
        if self.security == "none":
            notes.append("mails go there unencrypted")
        version = f"at '{self._server}'"
        return Probe(reachable=True, version=version, can_write=None, notes=tuple(notes))

    @property
    def _server(self) -> str:
        return f"{self.host}:{self.port or PORTS[self.security]}"

    def _begin(self, smtp: smtplib.SMTP, end: float) -> list[str]:
        """Name sender and addresses; the answer is which of these were refused, and why."""
        answers: dict[str, tuple[int, bytes]] = {}
        with self._before_content():
            _hurry(smtp, end)
            code, words = smtp.mail(self.sender)
            if code != OK:
                raise self._meaning(code, words)
            for to in self.to:
                _hurry(smtp, end)
                answers[to] = smtp.rcpt(to)
            _hurry(smtp, end)
        refused = {to: told for to, told in answers.items() if told[0] not in (OK, FORWARDED)}
        if len(refused) == len(self.to):
            # One that might be accepted later is reason enough to try again.
            raise self._meaning(*min(refused.values()))
        return [f"'{to}' ({code}: {_plain(words)})" for to, (code, words) in refused.items()]

    def _hand_over(self, smtp: smtplib.SMTP, mail: EmailMessage) -> str:
        """Send the content. From here on a lost answer leaves open whether it was taken."""
        try:
            code, words = smtp.data(mail.as_bytes(policy=SMTP))
        except smtplib.SMTPDataError as error:
            raise self._meaning(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unready(
                f"{self.place} did not answer to the mail ({type(error).__name__})",
                "whether it was taken is unknown: ask those it was for",
            ) from error
        if code != OK:
            raise self._meaning(code, words)
        return _plain(words)

    @contextmanager
    def _connected(self, seconds: float) -> Generator[smtplib.SMTP]:
        with self._before_content():
            smtp = self._connect(seconds)
        try:
            with self._before_content():
                self._greet(smtp)
            yield smtp
            # Whatever the server says to a farewell, it has answered before.
            with suppress(OSError, smtplib.SMTPException):
                _hurry(smtp, time.monotonic() + FAREWELL_SECONDS)
                smtp.quit()
        finally:
            smtp.close()

    def _connect(self, seconds: float) -> smtplib.SMTP:
        port, name = self.port or PORTS[self.security], self.sender.rpartition("@")[2]
        if self.security == "ssl":
            context = trust(self.place, self.ca_file)
            return smtplib.SMTP_SSL(self.host, port, name, timeout=seconds, context=context)
        return smtplib.SMTP(self.host, port, name, timeout=seconds)

    def _greet(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        if self.security == "starttls":
            smtp.starttls(context=trust(self.place, self.ca_file))
        if self.user is not None and self.password is not None:
            smtp.login(self.user, self.password.get_secret_value())

    @contextmanager
    def _before_content(self) -> Generator[None]:
        """What failures mean while there is nothing yet that the server could have taken."""
        try:
            yield
        except smtplib.SMTPResponseException as error:
            raise self._meaning(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            said = f"{self.place} cannot do what is asked of it: {error}"
            raise Refused(said, "correct 'security', 'user' and 'password'") from error
        except ssl.SSLError as error:
            raise untrusted(self.place, error) from error
        except (OSError, smtplib.SMTPException) as error:
            said = f"{self.place} cannot be reached: {clean_line(str(error), SAID_CHARACTERS_MAX)}"
            remedy = "start it, or correct its address in systems.yaml"
            raise NotSent(f"{said}; nothing was sent", remedy) from error

    def _meaning(self, code: int, words: bytes | str) -> RoundsmanError:
        said = f"{self.place} refused ({code}): {_plain(words)}"
        if 400 <= code < 500:
            return NotSent(said, "nothing was accepted; it is tried again later", status=code)
        if 500 <= code < 600:
            return Refused(said, "correct its entry in systems.yaml", status=code)
        return Misread(said.replace("refused", "answered", 1), "is it an SMTP server?", status=code)


def mail_of(message: Message, sender: str, to: list[str]) -> EmailMessage:
    """The mail. Its id is that of the message, and mails about one problem form one thread."""
    mail, domain = EmailMessage(policy=SMTP), sender.rpartition("@")[2]
    mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(to), message.title
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{_local_part(message.id)}@{domain}>"
    if message.dedup_key:
        mail["References"] = f"<about.{_local_part(message.dedup_key)}@{domain}>"
    # So that absence notices do not answer.
    mail["Auto-Submitted"] = "auto-generated"
    links = [f"{link.text}: {link.url}" for link in message.links]
    body = "\n".join([message.text, *([""] if links else []), *links, ""])
    mail.set_content(body, cte="quoted-printable")
    return mail


def _local_part(name: str) -> str:
    # No ':' may stand there; ids hold no '.', so none becomes another's.
    return name.replace(":", ".")


def _hurry(smtp: smtplib.SMTP, end: float) -> None:
    """Let the next answer take no longer than what is left; TimeoutError where nothing is."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("its answers took too long")
    if smtp.sock is not None:
        smtp.sock.settimeout(left)


def _plain(words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return clean_line(redact_text(text), SAID_CHARACTERS_MAX)
