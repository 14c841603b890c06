"""What senders of unwanted mail say, by intent, in seven languages, folded (no accents)."""

from __future__ import annotations

# A star lets a word go on: "verif*" is verify, verifier, verifica.
PHRASES: dict[str, str] = {
    "asks_for_credentials": """
        verify your*|confirm your*|update your account|update your payment|validate your*
        your password|reset your password|sign in to your|log in to your|unusual sign*
        unusual activity|login attempt|kennwort|passwort|bestatigen sie|verifizieren
        konto bestatigen|ihr konto|mot de passe|confirmer votre*|verifier votre*|votre compte
        identifiant*|contrasena|verifique su|confirme su|su cuenta|senha|confirme seu*|sua conta
        atualize seu*|recadastr*|wachtwoord|bevestig uw|uw account|verifieer|la tua password
        conferma il tuo|il tuo account|verifica il tuo|recovery phrase|seed phrase|secret phrase
        private key""",
    "threatens_the_account": """
        suspend*|deactivat*|terminated|will be closed|has been limited|restricted|locked|blocked
        your access|will be deleted|will expire|has expired|gesperrt|eingeschrankt|deaktiviert
        abgelaufen|suspendu*|bloque*|desactive*|limite|suspendid*|bloquead*|desactivad*|cancelad*
        bloqueio|suspensao|expirar|expirando|geblokkeerd|verlopen|opgeschort|sospes*|bloccat*
        scadut*|disattivat*|storage is full|storage almost full|speicher*|stockage|almacenamiento
        armazenamento""",
    "hurries": """
        urgent*|immediately|as soon as possible|within 24 hours|within 48 hours|24 hours|48 hours
        final notice|final warning|last chance|last warning|action required|act now|expires today
        before it s too late|only today|limited time|hurry|dringend|sofort|letzte mahnung|umgehend
        nur heute|innerhalb von|letzte chance|immediatement|dernier rappel|sous 24|dernier avis
        dernieres heures|inmediat*|ultimo aviso|ultima oportunidade|imediat*|hoje|evite
        ultimas horas|onmiddellijk|laatste kans|laatste herinnering|binnen 24|immediat*
        ultimo avviso|entro 24|attempt|attention|atencao|achtung|attenzione|belangrijk|wichtig
        important notice""",
    "asks_for_payment": """
        invoice|unpaid|overdue|outstanding balance|payment due|wire transfer|bank transfer
        transfer the sum|processing fee|delivery fee|bank account|rechnung|uberweisung|mahnung
        facture|virement|paiement|factura|transferencia|pago pendiente|pagamento|boleto|fatura
        taxa|taxad*|multa|divida|debito|pix|betaling|factuur|openstaand*|fattura|bonifico|refund
        ruckerstattung|remboursement|reembolso|terugbetaling|rimborso|restitui*|irpf|credit card
        kreditkarte""",
    "promises_a_prize": """
        you have won|you ve won|winner|you won|congratulations|congratulation|lottery|prize
        reward*|gift card|giftcard|voucher|free gift|claim your|giveaway|selected|finalist*
        gewinn*|gutschein|herzlichen gluckwunsch|gluckwunsch|gratis|verlosung|probierpaket|gagne*
        felicitation*|cadeau|bon d achat|tirage|premio|ganador|felicidades|enhorabuena|sorteo
        regalo|sorpresa|has ganado|ganhou|parabens|presente|sorteio|resgat*|pontos|milhas|brinde
        cashback|gefeliciteerd|gewonnen|prijs|cadeaubon|waardebon|vinto|complimenti|buono
        vincitore|survey|umfrage|sondage|encuesta|pesquisa|mystery box|exclusive offer|bonus""",
    "threatens_the_reader": """
        recorded you|your webcam|your device was|hacked|masturbat*|embarrass*|explicit|i know your
        your contacts|pay me|ich habe sie aufgenommen|votre webcam|su camara|sua camera
        arrest warrant|legal action|lawsuit|intimacao|processo judicial|notificacao extrajudicial
        protesto|mandado|police|interpol|europol|gendarmerie|polizei|virus*|infected|trojan""",
    "wants_a_call_or_answer": """
        call us|call now|toll free|customer care|helpline|call our|phone number|rufen sie|appelez
        llame al|ligue para|bel ons|chiama|contact me|reply to this email|reply me|get back to me
        reply urgently|contact him|contact her|for more details|your response|whatsapp|telegram
        private email|my email|kindly""",
    "speaks_of_a_delivery": """
        your package|your parcel|delivery attempt|your shipment|shipping fee|missed package
        tracking number|could not be delivered|customs|ihr paket|ihre sendung|lieferung|zustellung
        sendungsverfolgung|zoll|votre colis|livraison|su paquete|entrega|aduana|encomenda
        alfandega*|aduaneira|rastre*|correios|pakket*|bezorg*|zending|pacco|spedizione|consegna
        dogana|colis""",
    "speaks_of_a_wallet": """
        wallet*|airdrop*|token*|bitcoin|btc|ethereum|crypto*|nft*|blockchain|metamask
        connect your wallet|defi|staking|usdt|xrp|ledger|trezor|coinbase|binance|eth|mainnet|web3
        allocation|withdraw*""",
    "promises_a_fortune": """
        million|beneficiary|next of kin|inheritance|late husband|foreign partner|business proposal
        investment|investor|investors|funds|fund|donation|donate*|compensation|united nations
        world bank|atm card|diplomat|barrister|dear friend|dear beloved|widow|orphan*
        confidential*|heir|erbschaft|spende|heritage|don de|herencia|donacion|heranca|doacao
        erfenis|eredita|donazione|loan|kredit*|darlehen|pret|prestamo|emprestimo|lening|prestito
        charity|deceased|trust fund|consignment|god bless|dying|cancer|partnership""",
    "greets_nobody": """
        dear customer|dear user|dear client|dear valued|dear sir|dear account|dear member
        dear email|valued customer|dear recipient|dear winner|dear beneficiary|sehr geehrter kunde
        lieber kunde|cher client|chere cliente|estimado cliente|querido cliente|caro cliente
        prezado*|cara cliente|beste klant|geachte klant|gentile cliente|dear investor|hello dear
        dear e mail|dear partner|dear holder*|dear applicant""",
    "sells_remedies": """
        viagra|cialis|pharmacy|weight loss|lose weight|penis|erection|enlarge*|diet|libido
        testosterone|keto|cbd|pain relief|sexy|horny|porn*|xxx|dating|singles|hot girls|lonely
        hair loss|abnehmen|potenz*|maigrir|adelgazar|emagrec*|blood sugar|tinnitus|prostate
        medicare""",
    "sells_money": """
        mortgage|refinanc*|work from home|home based business|make money|earn money|income
        extra income|debt free|credit report|no obligation|money back|guarantee*|casino
        insurance quote|financial freedom|free trial|order now|buy now|discount|% off|save up to
        lowest price*|cheap|best price*|be your own boss|mlm|bulk email|email address*|opt in
        million email*|risk free|100% free|act today|term life|stock alert|lowest rate*|per month
        marketing|seo|ranking*|backlink*|guest post*|leads|web design|outsourc*|our services
        manufacturer*|supplier*|quotation|we are a|our company|our products|wholesale|factory""",
    "offers_to_unsubscribe": """
        to unsubscribe|unsubscribe here|unsubscribe|to be removed|remove me|be removed
        removal instructions|remove your*|opt out|stop receiving|no longer wish|abmelden|austragen
        se desabonner|desinscri*|darse de baja|descadastr*|cancelar inscricao|uitschrijven
        disiscriv*|this is not spam|cannot be considered spam|you received this
        if you received this""",
    "names_a_case": """
        protocol*|case id|case number|ref no|reference number|ticket id|case n|claim number
        aktenzeichen|vorgangsnummer|numero de dossier|numero de protocolo|contrato|zaaknummer""",
    "is_a_mailbox_notice": """
        mailbox|mail server|email administrator|webmail|quota|incoming messages|pending messages
        undelivered messages|messages on hold|email account|postfach|boite mail|caixa de correio
        buzon|casella di posta|it department|help desk|web mail|voice message|voicemail
        shared a document|shared file|review document|secure document|e fax|docusign""",
}
KEYWORDS = [
    "urgent",
    "verify",
    "suspend",
    "account",
    "password",
    "confirm",
    "expire",
    "security",
    "alert",
    "login",
    "unusual",
    "limited",
    "invoice",
    "winner",
    "prize",
]
