"""The names that mail signals know: services, hosts, and the domains that brands own."""

from __future__ import annotations

FREE_MAIL = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "hotmail.com",
        "outlook.com",
        "live.com",
        "msn.com",
        "yahoo.com",
        "ymail.com",
        "aol.com",
        "icloud.com",
        "me.com",
        "gmx.de",
        "gmx.net",
        "gmx.com",
        "web.de",
        "mail.ru",
        "yandex.ru",
        "yandex.com",
        "proton.me",
        "protonmail.com",
        "zoho.com",
        "mail.com",
        "163.com",
        "126.com",
        "qq.com",
        "sina.com",
        "naver.com",
        "libero.it",
        "orange.fr",
        "laposte.net",
        "free.fr",
        "wanadoo.fr",
        "uol.com.br",
        "bol.com.br",
        "terra.com.br",
        "ig.com.br",
        "hotmail.fr",
        "hotmail.es",
        "hotmail.it",
        "yahoo.fr",
        "yahoo.es",
        "yahoo.it",
        "yahoo.co.uk",
        "yahoo.com.br",
        "hotmail.co.uk",
        "t-online.de",
        "seznam.cz",
        "tutanota.com",
        "rediffmail.com",
    ]
)
SHORTENERS = frozenset(
    [
        "bit.ly",
        "tinyurl.com",
        "t.co",
        "goo.gl",
        "ow.ly",
        "is.gd",
        "cutt.ly",
        "cutt.us",
        "rebrand.ly",
        "rb.gy",
        "t.ly",
        "s.id",
        "lnkd.in",
        "buff.ly",
        "tiny.cc",
        "shorturl.at",
        "urlz.fr",
        "v.gd",
        "qrco.de",
        "linktr.ee",
        "encurtador.com.br",
        "tiny.one",
        "n9.cl",
        "acortar.link",
        "bitly.ws",
        "surl.li",
        "u.to",
    ]
)
FREE_HOSTS = (
    ".web.app",
    ".firebaseapp.com",
    ".appspot.com",
    ".github.io",
    ".gitlab.io",
    ".netlify.app",
    ".vercel.app",
    ".pages.dev",
    ".workers.dev",
    ".herokuapp.com",
    ".glitch.me",
    ".weebly.com",
    ".weeblysite.com",
    ".wixsite.com",
    ".blogspot.com",
    ".000webhostapp.com",
    ".repl.co",
    ".r2.dev",
    ".webflow.io",
    ".azurewebsites.net",
    ".windows.net",
    ".cloudfront.net",
    ".amazonaws.com",
    ".godaddysites.com",
    ".square.site",
    ".ngrok.io",
    ".duckdns.org",
    ".myshopify.com",
    ".page.link",
    ".azureedge.net",
    ".digitaloceanspaces.com",
    ".backblazeb2.com",
    ".cloudapp.azure.com",
    ".run.app",
    ".onrender.com",
    ".surge.sh",
    ".ipfs.io",
    ".dweb.link",
)
FREE_PATHS = (
    "storage.googleapis.com/",
    "sites.google.com/",
    "docs.google.com/forms",
    "forms.gle/",
    "forms.office.com/",
    "drive.google.com/",
    "telegra.ph/",
    "ipfs.io/",
    "script.google.com/",
)
SENDING_PLATFORMS = frozenset(
    [
        "sendgrid.net",
        "amazonses.com",
        "mailgun.org",
        "mcsv.net",
        "mcdlv.net",
        "rsgsv.net",
        "onmicrosoft.com",
        "salesforce.com",
        "exacttarget.com",
        "sparkpostmail.com",
        "mandrillapp.com",
        "hubspotemail.net",
        "firebaseapp.com",
        "freshdesk.com",
        "zendesk.com",
        "intercom-mail.com",
    ]
)
RISKY_TLDS = frozenset(["ru", "cn", "tk", "ml", "ga", "cf", "gq"])
CHEAP_TLDS = frozenset(
    [
        "top",
        "xyz",
        "shop",
        "click",
        "info",
        "online",
        "site",
        "live",
        "life",
        "space",
        "store",
        "icu",
        "club",
        "buzz",
        "fun",
        "cfd",
        "sbs",
        "rest",
        "beauty",
        "bond",
        "monster",
        "quest",
        "cyou",
        "lol",
        "today",
        "world",
        "vip",
        "work",
        "win",
        "bid",
        "loan",
        "men",
        "date",
        "stream",
        "link",
        "pw",
        "cc",
        "ws",
        "autos",
        "homes",
        "hair",
        "makeup",
        "skin",
        "best",
        "pics",
        "lat",
        "su",
        "biz",
        "za.com",
    ]
)
# The allowlist of the feature list; it counts for authenticated mail only.
SAFE_DOMAINS = frozenset(
    [
        "google.com",
        "github.com",
        "microsoft.com",
        "apple.com",
        "amazon.com",
        "linkedin.com",
        "slack.com",
        "atlassian.com",
        "gitlab.com",
        "stripe.com",
        "zoom.us",
        "dropbox.com",
        "adobe.com",
    ]
)
_BRANDS = """
adac adac.de|adobe adobe.com|aldi aldi.de aldi.com
amazon amazon.com amazon.de amazon.co.uk amazon.fr|apple apple.com icloud.com
icloud icloud.com apple.com|arbitrum arbitrum.io arbitrum.foundation|banco do brasil bb.com.br
bancodobrasil bb.com.br|basecamp basecamp.com 37signals.com|binance binance.com
bitcoin bitcoin.org|blockchain blockchain.com|bradesco bradesco.com.br|caixa caixa.gov.br
carrefour carrefour.com carrefour.fr carrefour.es|coinbase coinbase.com
coca-cola coca-cola.com|correios correios.com.br|costco costco.com|cvs cvs.com
deutsche post deutschepost.de dhl.de|dhl dhl.com dhl.de|docusign docusign.com docusign.net
douglas douglas.de|dropbox dropbox.com|ebay ebay.com|ethereum ethereum.org
exodus exodus.com exodus.io|facebook facebook.com facebookmail.com|fastmail fastmail.com
fedex fedex.com|ftx ftx.com|geico geico.com|github github.com|google google.com
heroku heroku.com|home depot homedepot.com|instagram instagram.com|itau itau.com.br
kraken kraken.com|kroger kroger.com|lastpass lastpass.com|la poste laposte.fr
laposte laposte.fr|ledger ledger.com|leroy merlin leroymerlin.fr leroymerlin.es
lidl lidl.de lidl.com|linkedin linkedin.com|livelo livelo.com.br|lowes lowes.com
marriott marriott.com|mastercard mastercard.com|mcafee mcafee.com
mercado pago mercadopago.com mercadopago.com.br|metamask metamask.io|microsoft microsoft.com
netflix netflix.com|norton norton.com|nubank nubank.com.br|omaha steaks omahasteaks.com
opensea opensea.io|optimism optimism.io|outlook outlook.com microsoft.com
pancakeswap pancakeswap.finance|paypal paypal.com paypal.de|persil persil.de
postbank postbank.de|rewe rewe.de|ripple ripple.com|rossmann rossmann.de
santander santander.com santander.com.br|serasa serasa.com.br|shein shein.com|shell shell.com
sparkasse sparkasse.de|spotify spotify.com|starbucks starbucks.com|stripe stripe.com
target target.com|telegram telegram.org|tether tether.to|tiktok tiktok.com|trezor trezor.io
trust wallet trustwallet.com|trustwallet trustwallet.com|uniswap uniswap.org|unicef unicef.org
ups ups.com|usps usps.com|visa visa.com|voyager investvoyager.com|walgreens walgreens.com
walmart walmart.com|western union westernunion.com|whatsapp whatsapp.com
yahoo yahoo.com yahooinc.com|zelle zellepay.com|zksync zksync.io|zoom zoom.us zoom.com
harbor freight harborfreight.com|aarp aarp.org
"""


def _owners() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in _BRANDS.replace("\n", "|").split("|"):
        words = row.split()
        domains = tuple(word for word in words if "." in word)
        name = " ".join(word for word in words if "." not in word)
        if name and domains:
            found[name] = domains
    return found


BRANDS = _owners()
SERVICE_WORDS = frozenset(
    [
        "account",
        "accounts",
        "admin",
        "alert",
        "alerts",
        "auth",
        "billing",
        "center",
        "claim",
        "client",
        "confirm",
        "customer",
        "help",
        "helpdesk",
        "id",
        "info",
        "login",
        "mail",
        "notice",
        "notification",
        "notify",
        "online",
        "pay",
        "payment",
        "portal",
        "recovery",
        "reset",
        "reward",
        "rewards",
        "secure",
        "security",
        "service",
        "services",
        "sign",
        "signin",
        "support",
        "team",
        "update",
        "user",
        "validation",
        "verify",
        "verification",
        "wallet",
        "web",
    ]
)
