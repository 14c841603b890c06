"""What a raw mail says: its row in search and warehouse, and the risk that it carries."""

from roundsman.rules.mail.row import (
    MAIL_FIELDS,
    MailRow,
    RawMail,
    fingerprint_of,
    mail_key,
    parse_mail,
)

__all__ = ["MAIL_FIELDS", "MailRow", "RawMail", "fingerprint_of", "mail_key", "parse_mail"]
